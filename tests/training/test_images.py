from __future__ import annotations

import gzip
import logging
import os
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mri.intensity_scale import image_scale
from gadget.training.images import find_files, load_volumes
from gadget.training.slices import slice_axis, usable_slices


@pytest.fixture
def head(phantom):
    """A stack of slices `[slice, y, x]`."""
    return (400 * phantom((72, 80)) * np.linspace(0.8, 1, 3)[:, None, None]).astype(np.float32)


def _nifti(path, array, zooms=(1.0, 1.0, 5.0)):
    image = nibabel.Nifti1Image(array, np.diag([*zooms, 1.0]))
    nibabel.save(image, path)
    return path


def _volumes(folder):
    return list(load_volumes(folder))


def test_slices_are_scaled_to_bright_tissue(tmp_path, head):
    np.save(tmp_path / "head.npy", head)
    ((first, *others),) = _volumes(tmp_path)
    assert len(others) == 2
    assert first.dtype == np.float16
    volume = np.stack([first, *others]).astype(np.float32)
    assert image_scale(volume) == pytest.approx(1, rel=1e-2)
    # One scale for the file: slices keep their brightness beside each other.
    np.testing.assert_allclose(volume * volume.max() ** -1, head / head.max(), atol=2e-3)


def test_numpy_files_of_one_slice_and_of_complex_values(tmp_path, head):
    np.save(tmp_path / "a.npy", head[0])
    np.save(tmp_path / "b.npy", head * np.complex64(1j))
    one, several = _volumes(tmp_path)
    assert (len(one), len(several)) == (1, 3)


def test_files_are_found_in_folders_below(tmp_path, head):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    np.save(tmp_path / "deep" / "er" / "head.npy", head)
    assert len(_volumes(tmp_path)) == 1


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
def test_slices_of_thick_nifti_are_cut_in_plane(tmp_path, head, name):
    _nifti(tmp_path / name, np.moveaxis(head, 0, 2))
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80)] * 3


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
def test_every_volume_of_a_4d_nifti_has_its_own_scale(tmp_path, head, name):
    slices = np.moveaxis(head, 0, 2)
    dark = np.zeros_like(slices)
    _nifti(tmp_path / name, np.stack([slices, dark, 10 * slices], axis=-1))
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80)] * 6
    for first, second in zip(volume[:3], volume[3:], strict=True):
        np.testing.assert_allclose(first, second, atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "spacing", "across"),
    [
        ((128, 128, 40), (1, 1, 3), 2),
        ((128, 128, 40), (1, 1, 0.6), 2),
        ((40, 128, 128), (0.6, 1, 1.05), 0),
        ((128, 1, 128), (1, 0.5, 1), 1),
        ((128, 128, 40), (1, 1, 0), 2),
        ((128, 100, 30), (0.9, 1, 4), 2),
    ],
)
def test_the_axis_across_the_slices_is_the_odd_one_out(shape, spacing, across):
    assert slice_axis(shape, spacing) == across


def test_a_nifti_of_two_axes_is_a_slice(tmp_path, head):
    _nifti(tmp_path / "head.nii", head[0])
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80)]


def test_a_slice_of_cubes_is_not_cut_to_lines(tmp_path, head, caplog):
    caplog.set_level("INFO")
    _nifti(tmp_path / "head.nii", head[0], (1.0, 1.0, 1.0))
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80)]
    assert "left out" not in caplog.text


def test_a_nifti_that_does_not_know_its_spacing_has_that_of_a_cube(tmp_path, head):
    path = _nifti(tmp_path / "head.nii", np.moveaxis(head, 0, 2))
    content = bytearray(path.read_bytes())
    content[80:92] = np.full(3, np.nan, "<f4").tobytes()
    path.write_bytes(content)
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80)] * 3


def test_axes_of_one_point_do_not_count(tmp_path, head):
    _nifti(tmp_path / "head.nii", np.moveaxis(head, 0, 2)[..., None, None])
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 3


def test_complex_nifti_is_taken_by_magnitude(tmp_path, head):
    slices = np.moveaxis(head, 0, 2)
    _nifti(tmp_path / "a.nii", slices)
    _nifti(tmp_path / "b.nii", (slices * np.exp(2j)).astype(np.complex64))
    plain, turned = _volumes(tmp_path)
    np.testing.assert_allclose(plain, turned, atol=2e-3)


def test_isotropic_nifti_is_cut_from_every_side(tmp_path, phantom):
    cube = phantom((72, 80))[:, :, None] * np.hanning(70).astype(np.float32)
    _nifti(tmp_path / "head.nii", cube.astype(np.float32), (1.0, 1.0, 1.0))
    (volume,) = _volumes(tmp_path)
    assert {one.shape for one in volume} == {(72, 80), (72, 70), (80, 70)}


def test_slices_of_no_use_are_left_out(tmp_path, head):
    spoilt = np.concatenate([head] * 3)
    spoilt[1] = 0
    spoilt[2, 3, 3] = np.nan
    spoilt[3] *= -1
    spoilt[4] *= 0.01
    spoilt[5, 0, 0] = -0.01 * head.max()
    np.save(tmp_path / "head.npy", spoilt)
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 5
    assert all((one >= 0).all() for one in volume)


def _not_nifti(path, head):
    (path / "rubbish.nii").write_bytes(b"This is no image." * 40)


def _cut_nifti(path, head):
    _nifti(path / "rubbish.nii", np.moveaxis(head, 0, 2))
    content = (path / "rubbish.nii").read_bytes()
    (path / "rubbish.nii").write_bytes(content[: len(content) // 2])


def _cut_gzip(path, head):
    _nifti(path / "whole.nii", np.moveaxis(head, 0, 2))
    content = gzip.compress((path / "whole.nii").read_bytes())
    (path / "whole.nii").unlink()
    (path / "rubbish.nii.gz").write_bytes(content[: len(content) // 2])


def _broken_gzip(path, head):
    _cut_gzip(path, head)
    content = bytearray((path / "rubbish.nii.gz").read_bytes())
    content[40:60] = b"\xff" * 20
    (path / "rubbish.nii.gz").write_bytes(content)


def _not_gzip(path, head):
    (path / "rubbish.nii.gz").write_bytes(b"no gzip")


def _vector_nifti(path, head):
    _nifti(path / "rubbish.nii", np.stack([np.stack([head] * 2)] * 3))


def _colour_nifti(path, head):
    colours = np.zeros(head.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    _nifti(path / "rubbish.nii", colours)


def _empty_npy(path, head):
    (path / "rubbish.npy").write_bytes(b"")


def _cut_npy(path, head):
    np.save(path / "rubbish.npy", head)
    content = (path / "rubbish.npy").read_bytes()
    (path / "rubbish.npy").write_bytes(content[:-100])


def _pickle_npy(path, head):
    np.save(path / "rubbish.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _text_npy(path, head):
    np.save(path / "rubbish.npy", np.full((64, 64), "text"))


def _flat_npy(path, head):
    np.save(path / "rubbish.npy", np.ones(100))


def _dark_npy(path, head):
    np.save(path / "rubbish.npy", np.zeros_like(head))


def _uniform_npy(path, head):
    np.save(path / "rubbish.npy", np.full_like(head, 7))


def _odd_nifti(path, head):
    _nifti(path / "rubbish.nii", np.moveaxis(head, 0, 2))
    content = bytearray((path / "rubbish.nii").read_bytes())
    content[40:42] = (3).to_bytes(2, "big")  # as if its numbers were in the other order
    (path / "rubbish.nii").write_bytes(content)


def _small_npy(path, head):
    np.save(path / "rubbish.npy", head[:, :60])


def _text(path, head):
    (path / "rubbish.txt").write_text("Heads.")


def _empty_hdf5(path, head):
    (path / "rubbish.h5").write_bytes(b"")


def _broken_link(path, head):
    (path / "rubbish.npy").symlink_to(path / "nowhere")


def _link_to_itself(path, head):
    (path / "rubbish.npy").symlink_to(path / "rubbish.npy")


def _pipe(path, head):
    os.mkfifo(path / "rubbish.npy")


def _other_hdf5(path, head):
    with h5py.File(path / "rubbish.h5", "w") as file:
        file["kspace"] = head


def _cut_hdf5(path, head):
    _other_hdf5(path, head)
    content = (path / "rubbish.h5").read_bytes()
    (path / "rubbish.h5").write_bytes(content[:1000])


def _flat_fastmri(path, head):
    with h5py.File(path / "rubbish.h5", "w") as file:
        file["reconstruction_rss"] = head[0]


def _deep_fastmri(path, head):
    with h5py.File(path / "rubbish.h5", "w") as file:
        file["reconstruction_esc"] = np.stack([np.stack([head[0]] * 70)] * 2)


def _flat_ismrmrd(path, head):
    with h5py.File(path / "rubbish.h5", "w") as file:
        file["dataset/image_0/data"] = head


def _name_of_two_lines(path, head):
    np.save(path / "rubbish\nof two lines.npy", head[:, :60])


def _name_in_latin1(path, head):
    np.save(path / os.fsdecode(b"rubbish\xe9.npy"), head[:, :60])


def _huge_nifti(path, head):
    _nifti(path / "rubbish.nii", head)
    content = bytearray((path / "rubbish.nii").read_bytes())
    content[42:48] = np.full(3, 32000, "<i2").tobytes()
    (path / "rubbish.nii").write_bytes(content)


RUBBISH = [
    _name_of_two_lines,
    _name_in_latin1,
    _huge_nifti,
    _text,
    _empty_hdf5,
    _broken_link,
    _link_to_itself,
    _pipe,
    _other_hdf5,
    _cut_hdf5,
    _flat_fastmri,
    _deep_fastmri,
    _flat_ismrmrd,
    _not_nifti,
    _cut_nifti,
    _cut_gzip,
    _broken_gzip,
    _not_gzip,
    _vector_nifti,
    _colour_nifti,
    _empty_npy,
    _cut_npy,
    _pickle_npy,
    _text_npy,
    _flat_npy,
    _dark_npy,
    _uniform_npy,
    _odd_nifti,
    _small_npy,
]


@pytest.mark.parametrize("spoil", RUBBISH, ids=lambda spoil: spoil.__name__.strip("_"))
def test_rubbish_is_named_in_the_log_and_left_out(tmp_path, head, caplog, capfd, spoil):
    np.save(tmp_path / "head.npy", head)
    spoil(tmp_path, head)
    assert len(_volumes(tmp_path)) == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert "rubbish" in warnings[0]
    assert "is left out: " in warnings[0]
    assert "\n" not in warnings[0]
    assert warnings[1] == f"1 of 2 files in {tmp_path} are left out"
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
    assert not capfd.readouterr().err


def test_a_folder_without_a_usable_image_is_an_error(tmp_path, head):
    sentence = "holds no usable magnitude image"
    with pytest.raises(DataError, match=sentence):
        _volumes(tmp_path)
    _small_npy(tmp_path, head)
    with pytest.raises(DataError, match=sentence):
        _volumes(tmp_path)
    with pytest.raises(DataError, match=sentence):
        _volumes(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("reconstruction_rss/group", 1, "it is HDF5 without images"),
        ("reconstruction_rss", h5py.SoftLink("/nowhere"), "it is HDF5 without images"),
        ("reconstruction_rss", "text", "its pixels are no numbers"),
        (
            "dataset/image_0/header",
            np.zeros(2, [("image_type", "u2")]),
            "'/dataset/image_0' has 3 images and 2 headers",
        ),
    ],
)
def test_odd_hdf5_is_told_in_words(tmp_path, head, caplog, name, value, sentence):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        if "image_0" in name:
            file["dataset/image_0/data"] = head[:, None, None]
        file[name] = value
    with pytest.raises(DataError):
        _volumes(tmp_path)
    assert f"odd.h5 is left out: {sentence}" in caplog.text


@pytest.mark.parametrize("name", ["reconstruction_rss", "reconstruction_esc"])
def test_fastmri_reconstructions_are_read(tmp_path, head, name):
    with h5py.File(tmp_path / "file1000.h5", "w") as file:
        file["kspace"] = np.zeros((3, 2, 8, 8), np.complex64)
        file[name] = head
    np.save(tmp_path / "head.npy", head)
    fastmri, plain = _volumes(tmp_path)
    np.testing.assert_array_equal(fastmri, plain)


def test_ismrmrd_images_are_read_with_coils_and_phase_joined(tmp_path, head):
    coils = np.stack([head, head * 1j], axis=1)[:, :, None]
    complex_type = [("real", "f4"), ("imag", "f4")]
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["2024-01-01/image_0/data"] = coils.astype(np.complex64).view(complex_type)
        file["dataset/image_12/data"] = head[:, None, None]
    np.save(tmp_path / "plain.npy", head)
    (*slices,), plain = _volumes(tmp_path)
    assert len(slices) == 6
    np.testing.assert_allclose(slices[:3], plain, atol=2e-3)
    np.testing.assert_allclose(slices[3:], plain, atol=2e-3)


def _flat_series(series, head):
    series["data"] = head


def _fewer_headers(series, head):
    series["data"] = head[:, None, None]
    series["header"] = np.zeros(2, [("image_type", "u2")])


def _damaged_series(series, head):
    pixels = series.create_dataset("data", data=head[:, None, None], compression="gzip")
    series.file.flush()
    with Path(series.file.filename).open("r+b") as file:
        file.seek(pixels.id.get_chunk_info(0).byte_offset)
        file.write(b"rubbish")


@pytest.mark.parametrize("spoil", [_flat_series, _fewer_headers, _damaged_series])
def test_a_series_that_is_spoilt_costs_no_other(tmp_path, head, caplog, spoil):
    with h5py.File(tmp_path / "images.h5", "w") as file:
        for number in (0, 2):
            file[f"dataset/image_{number}/data"] = head[:, None, None]
        spoil(file.create_group("dataset/image_1"), head)
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 6
    (told,) = caplog.messages
    assert told.startswith(f"'/dataset/image_1' of {tmp_path / 'images.h5'} is left out: ")


def test_phase_images_and_maps_of_a_deviation_are_no_magnitude(tmp_path, head, caplog):
    types = np.zeros(3, [("image_type", "u2")])
    types["image_type"] = (1, 2, 1)
    # What the first one says of maps is no role.
    attributes = [
        f"<ismrmrdMeta><meta><name>{name}</name><value>STD_MAP</value></meta></ismrmrdMeta>"
        for name in ("ImageComment", "ImageComment", "DataRole")
    ]
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["dataset/image_0/data"] = head[:, None, None]
        file["dataset/image_0/header"] = types
        file["dataset/image_0/attributes"] = attributes
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 1
    with h5py.File(tmp_path / "images.h5", "a") as file:
        types["image_type"] = 2
        file["dataset/image_0/header"][:] = types
    with pytest.raises(DataError):
        _volumes(tmp_path)
    assert "it holds phase images or maps, no magnitude" in caplog.text


def test_whole_numbers_of_a_series_stand_for_what_each_image_tells(tmp_path, head):
    texts = []
    with h5py.File(tmp_path / "images.h5", "w") as file:
        data = np.empty((3, 1, 1, *head.shape[1:]), np.uint16)
        for number, slope in enumerate((1.0, 0.5, 0.25)):
            data[number] = np.rint(head[number] / slope) + 20
            pairs = {"RescaleSlope": slope, "RescaleIntercept": -20 * slope}
            texts.append(
                "<ismrmrdMeta>"
                + "".join(
                    f"<meta><name>{k}</name><value>{v}</value></meta>" for k, v in pairs.items()
                )
                + "</ismrmrdMeta>"
            )
        file["dataset/image_0/data"] = data
        file["dataset/image_0/attributes"] = texts
    np.save(tmp_path / "plain.npy", head)
    rescaled, plain = _volumes(tmp_path)
    np.testing.assert_allclose(rescaled, plain, atol=4e-3)


def test_images_of_our_own_files_are_read(tmp_path, head):
    from gadget.mrd.simulation.simulate import write_simulation
    from gadget.mrd.simulation.simulated_scan import SimulatedScan

    write_simulation(tmp_path / "raw.h5", SimulatedScan(matrix=64, coils=2, slices=2))
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(64, 64)] * 2


@pytest.mark.parametrize("axes", [1, 3])
def test_slices_have_two_axes_whatever_reads_them(axes):
    with pytest.raises(DataError, match=r"expected slices \[y, x\], got one of shape \[70"):
        list(usable_slices([np.ones((70, 80), np.float32), np.ones([70] * axes, np.float32)]))


def test_numbers_beyond_half_precision_stay_finite(tmp_path, head):
    head = head.astype(np.float64)
    head[0, 40, 40] = 1e30
    head[1, 40, 40] = 1e60
    np.save(tmp_path / "head.npy", head)
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 2
    assert np.isfinite(volume).all()


def test_links_to_folders_are_followed_once(tmp_path, head):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere" / "head.npy", head)
    np.save(tmp_path / "data" / "a" / "head.npy", head)
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "round").symlink_to(tmp_path / "data")
    found = [path.relative_to(tmp_path / "data") for path in find_files(tmp_path / "data")]
    assert found == [Path("a/head.npy"), Path("b/head.npy")]
    assert len(_volumes(tmp_path / "data")) == 2
    without = find_files(tmp_path / "data", [tmp_path / "elsewhere"])
    assert [path.parent.name for path in without] == ["a"]


def test_a_missing_reader_is_named(tmp_path, head, caplog, monkeypatch):
    np.save(tmp_path / "head.npy", head)
    _nifti(tmp_path / "head.nii", np.moveaxis(head, 0, 2))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert len(_volumes(tmp_path)) == 1
    assert "NIfTI files need nibabel: pip install 'score-gadget[train]'" in caplog.text
