from __future__ import annotations

import logging

import ismrmrd
import numpy as np
import pytest

from gadget.errors import ConfigError, DataError
from gadget.mrd.export.nifti import NiftiWriter

nibabel = pytest.importorskip("nibabel")

OBLIQUE = {
    "read_dir": (0.8, 0.6, 0.0),
    "phase_dir": (-0.6 * 0.75**0.5, 0.8 * 0.75**0.5, 0.5),
    "slice_dir": (0.3, -0.4, 0.75**0.5),
}
SIEMENS = (
    b"<ismrmrdHeader><acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor>"
    b"</acquisitionSystemInformation></ismrmrdHeader>"
)


@pytest.fixture
def convert(tmp_path):
    """Writes images and reads the files back, by their names."""

    def run(*images, stem="", xml=None):
        with NiftiWriter(tmp_path / "nifti", stem, xml) as writer:
            for image in images:
                writer.write(image)
        return {path.name: nibabel.load(path) for path in sorted((tmp_path / "nifti").iterdir())}

    return run


def numbered(*shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def test_an_oblique_slice_lies_where_it_was_measured(convert, make_image):
    pixels = numbered(1, 4, 6)  # z, y, x
    image = make_image(pixels, position=(10, 20, 30), field_of_view=(12, 12, 5), **OBLIQUE)
    (file,) = convert(image).values()
    np.testing.assert_array_equal(file.get_fdata(), pixels.transpose(2, 1, 0))
    # Voxel (3, 2) is at the position; left and back are positive in ISMRMRD, negative in NIfTI.
    np.testing.assert_allclose(file.affine @ (3, 2, 0, 1), (-10, -20, 30, 1), atol=1e-4)
    along_x = file.affine @ (4, 2, 0, 1) - file.affine @ (3, 2, 0, 1)
    np.testing.assert_allclose(along_x[:3], (-1.6, -1.2, 0), atol=1e-4)
    np.testing.assert_allclose(file.header.get_zooms(), (2, 3, 5), atol=1e-4)
    for code in ("sform_code", "qform_code"):
        assert file.header[code] == 1
    np.testing.assert_allclose(file.get_qform(), file.get_sform(), atol=1e-4)


def test_a_left_handed_volume_keeps_its_handedness(convert, make_image):
    flipped = tuple(-part for part in OBLIQUE["slice_dir"])
    fields = {**OBLIQUE, "slice_dir": flipped, "field_of_view": (12, 12, 9)}
    (file,) = convert(make_image(numbered(3, 4, 6), **fields)).values()
    along_z = file.affine @ (3, 2, 2, 1) - file.affine @ (3, 2, 1, 1)
    np.testing.assert_allclose(along_z[:3], (0.9, -1.2, -3 * 0.75**0.5), atol=1e-4)
    np.testing.assert_allclose(file.affine @ (3, 2, 1, 1), (0, 0, 0, 1), atol=1e-4)
    np.testing.assert_allclose(file.get_qform(), file.get_sform(), atol=1e-4)


def test_slices_with_gaps_stack_by_position_whatever_their_numbers(convert, make_image):
    places = (12.0, 0.0, 6.0)
    images = [
        make_image(np.full((1, 4, 4), z, np.float32), position=(0, 0, z), slice=number)
        for number, z in enumerate(places)
    ]
    (file,) = convert(*images).values()
    assert file.shape == (4, 4, 3)
    assert file.header.get_zooms()[2] == 6
    np.testing.assert_array_equal(file.get_fdata()[0, 0], (0, 6, 12))


def test_repetitions_and_contrasts_are_the_fourth_axis(convert, make_image):
    images = [
        make_image(
            np.full((1, 4, 4), 100 * repetition + 10 * contrast + z, np.uint16),
            position=(0, 0, 5 * z),
            repetition=repetition,
            contrast=contrast,
        )
        for z in (1, 0)
        for contrast in (0, 1)
        for repetition in (1, 0)
    ]
    (file,) = convert(*images).values()
    np.testing.assert_array_equal(
        np.asarray(file.dataobj)[0, 0], [[0, 10, 100, 110], [1, 11, 101, 111]]
    )


def test_images_that_counters_do_not_tell_apart_are_kept_in_order(convert, make_image):
    images = [make_image(np.full((1, 4, 4), value, np.float32)) for value in (3, 1, 2)]
    (file,) = convert(*images).values()
    np.testing.assert_array_equal(file.get_fdata()[0, 0, 0], (3, 1, 2))


def test_a_missing_slice_is_zero_and_named(convert, make_image, caplog):
    images = [
        make_image(np.ones((1, 4, 4), np.float32), position=(0, 0, z), repetition=repetition)
        for z, repetition in ((0, 0), (5, 0), (0, 1))
    ]
    (file,) = convert(*images).values()
    np.testing.assert_array_equal(file.get_fdata()[0, 0], [[1, 1], [1, 0]])
    assert "lacks 1 slices" in caplog.text


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int16, np.complex64])
def test_pixels_keep_their_type(convert, make_image, dtype):
    pixels = (numbered(1, 4, 6) * (1 - 2j)).astype(dtype) if dtype is np.complex64 else None
    pixels = numbered(1, 4, 6, dtype=dtype) if pixels is None else pixels
    (file,) = convert(make_image(pixels)).values()
    assert file.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(file.dataobj), pixels.transpose(2, 1, 0))


def test_scaled_whole_numbers_say_what_they_stand_for(convert, make_image):
    pixels = numbered(1, 4, 6, dtype=np.uint16)
    meta = {"RescaleSlope": "0.25", "RescaleIntercept": "2"}
    (file,) = convert(*(make_image(pixels, meta, position=(0, 0, z)) for z in range(2))).values()
    assert file.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(np.asarray(file.dataobj.get_unscaled())[..., 1], pixels[0].T)
    np.testing.assert_array_equal(file.get_fdata()[..., 1], pixels[0].T * 0.25 + 2)


def test_whole_numbers_of_several_scales_become_what_they_stand_for(convert, make_image):
    pixels = numbered(1, 4, 6, dtype=np.uint16)
    images = [
        make_image(pixels, meta, position=(0, 0, z))
        for z, meta in enumerate(({"RescaleSlope": "0.25"}, {"RescaleSlope": "100000"}, {}))
    ]
    (file,) = convert(*images).values()
    assert file.get_data_dtype() == np.float32
    for z, slope in enumerate((0.25, 100000, 1)):
        np.testing.assert_allclose(file.get_fdata()[..., z], slope * numbered(4, 6).T)


def test_whole_numbers_that_the_format_lacks_become_shorter(convert, make_image):
    image = make_image(numbered(1, 4, 6))
    head = image.getHead()
    head.data_type = ismrmrd.DATATYPE_INT
    whole = ismrmrd.Image(head)
    whole.data[:] = image.data
    (file,) = convert(whole).values()
    assert file.get_data_dtype() == np.int32
    np.testing.assert_array_equal(np.asarray(file.dataobj)[..., 0], numbered(4, 6).T)


def test_coil_images_are_the_fifth_axis(convert, make_image):
    (file,) = convert(make_image(numbered(2, 1, 4, 6))).values()
    assert file.shape == (6, 4, 1, 1, 2)
    assert file.dataobj[5, 3, 0, 0, 1] == 47


def test_slices_that_do_not_stack_are_in_files_of_their_own(convert, make_image, caplog):
    images = [
        *(make_image(numbered(1, 4, 4), position=(0, 0, z)) for z in (0, 5, 40)),
        make_image(numbered(1, 4, 4), read_dir=(0, 1, 0), phase_dir=(0, 0, 1)),
    ]
    files = convert(*images)
    assert list(files) == [f"series_0_group_{n}.nii.gz" for n in (1, 2, 3)]
    assert [file.shape for file in files.values()] == [(4, 4, 2), (4, 4, 1), (4, 4, 1)]
    assert "in 3 NIfTI files" in caplog.text


def test_files_of_an_earlier_series_do_not_pass_for_ours(convert, make_image):
    pixels = numbered(1, 4, 6)
    apart = [make_image(pixels), make_image(pixels, **OBLIQUE)]
    assert len(convert(*apart)) == 2
    assert list(convert(make_image(pixels))) == ["series_0.nii.gz"]
    groups = [f"series_0_group_{n}.nii.gz" for n in (1, 2)]
    assert list(convert(*apart)) == groups
    assert list(convert(make_image(pixels), stem="other")) == ["other_series_0.nii.gz", *groups]


def test_series_are_files_and_the_stem_comes_first(convert, make_image):
    images = [make_image(numbered(1, 4, 4), image_series_index=n) for n in (0, 100)]
    files = convert(*images, stem="scan7")
    assert list(files) == ["scan7_series_0.nii.gz", "scan7_series_100.nii.gz"]
    assert b"not for diagnostic use" in bytes(files["scan7_series_0.nii.gz"].header["descrip"])


def test_siemens_images_are_turned_by_the_affine(convert, make_image):
    (file,) = convert(make_image(numbered(1, 4, 4), position=(1, 2, 3)), xml=SIEMENS).values()
    np.testing.assert_allclose(file.affine @ (2, 2, 0, 1), (-1, -2, 3, 1))
    np.testing.assert_allclose(file.affine @ (3, 2, 0, 1), (0, -2, 3, 1))


def test_the_same_images_give_the_same_bytes(tmp_path, make_image):
    written = []
    for folder in ("one", "two"):
        with NiftiWriter(tmp_path / folder) as writer:
            writer.write(make_image(numbered(1, 4, 4)))
        (path,) = (tmp_path / folder).iterdir()
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_images_before_an_error_are_kept(tmp_path, make_image):
    with pytest.raises(RuntimeError), NiftiWriter(tmp_path) as writer:
        writer.write(make_image(numbered(1, 4, 4)))
        raise RuntimeError("lost")
    assert nibabel.load(tmp_path / "series_0.nii.gz").shape == (4, 4, 1)


def test_images_without_geometry_say_so(convert, make_image, caplog):
    zero = {"read_dir": (0, 0, 0), "phase_dir": (0, 0, 0)}
    convert(make_image(numbered(1, 4, 4), **zero))
    assert "made up" in caplog.text


@pytest.mark.parametrize(
    "unknown", [{"read_dir": (0, 0, 0), "position": (1, 2, 3)}, {"position": (np.nan, 0, 0)}]
)
def test_slices_without_geometry_lie_side_by_side(convert, make_image, unknown):
    images = [
        make_image(numbered(1, 3, 4) + number, slice=number, repetition=repetition, **unknown)
        for repetition in range(2)
        for number in range(3)
    ]
    (file,) = convert(*images).values()
    assert file.shape == (4, 3, 3, 2)
    np.testing.assert_array_equal(file.get_fdata()[0, 0], [[0, 0], [1, 1], [2, 2]])


def test_a_file_that_cannot_be_written(tmp_path, make_image, caplog):
    (tmp_path / "series_0.nii.gz").mkdir()
    writer = NiftiWriter(tmp_path)
    writer.write(make_image(numbered(1, 4, 4)))
    with pytest.raises(DataError, match="cannot be written"):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["series_0.nii.gz"]
    # What went wrong first is what the user hears of.
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(RuntimeError, match="first"),
        NiftiWriter(tmp_path) as writer,
    ):
        writer.write(make_image(numbered(1, 4, 4)))
        raise RuntimeError("first")
    assert "cannot be written" in caplog.text


def test_nibabel_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(ConfigError, match=r"score-gadget\[nifti\]"):
        NiftiWriter(tmp_path / "none")
    assert not (tmp_path / "none").exists()
