from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless, generate_uid

from gadget.errors import DataError
from gadget.training.images import load_volumes

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
AXIAL = (1, 0, 0, 0, 1, 0)


@pytest.fixture
def head(phantom):
    """Slices `[slice, y, x]` whose brightness tells them apart."""
    brightness = np.linspace(0.5, 1, 4)[:, None, None]
    return (1000 * phantom((72, 80)) * brightness).astype(np.uint16)


@pytest.fixture
def dicom(tmp_path):
    """Writes a DICOM file of pixels `[y, x]` or `[frame, y, x]`, with any attributes."""

    def write(name, pixels, syntax=ExplicitVRLittleEndian, **attributes):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = MR_IMAGE, generate_uid()
        dataset.SeriesInstanceUID = "1.2.3"
        dataset.Modality = "MR"
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.SamplesPerPixel = 1
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        if pixels is not None:
            dataset.Rows, dataset.Columns = pixels.shape[-2:]
            if pixels.ndim == 3:
                dataset.NumberOfFrames = len(pixels)
            dataset.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, list(value) if isinstance(value, tuple) else value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = MR_IMAGE
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if syntax == RLELossless:
            dataset.compress(RLELossless)
        elif syntax.is_compressed:
            dataset.file_meta.TransferSyntaxUID = syntax
            dataset.PixelData = encapsulate([b"\xff\xd8 no image"])
            dataset["PixelData"].VR = "OB"
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


def _volumes(tmp_path):
    return list(load_volumes(tmp_path))


def _scaled(slices, like):
    """Slices in the scale of others, that of the brightest."""
    return np.stack(slices).astype(np.float32) * (like.max() / np.max(slices))


def test_a_series_is_one_volume_in_the_order_of_its_positions(tmp_path, dicom, head):
    # Neither names nor numbers are in the order of the positions.
    for name, number, z in (("a", 3, 2), ("b/IM0001", 1, 3), ("c.dcm", 0, 0), ("d.ima", 2, 1)):
        dicom(
            name,
            head[z],
            InstanceNumber=number,
            ImageOrientationPatient=AXIAL,
            ImagePositionPatient=(0, 0, 5.0 * z),
            PixelSpacing=(1, 1),
        )
    dicom("other", head[0], SeriesInstanceUID="1.2.4")
    volume, other = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head), head, atol=2)
    assert len(other) == 1


def test_the_order_is_along_the_normal_of_the_slices(tmp_path, dicom, head):
    # Coronal slices: the rows run along x, the columns along -z, the normal along y.
    for z in range(4):
        dicom(
            f"{3 - z}",
            head[z],
            ImageOrientationPatient=(1, 0, 0, 0, 0, -1),
            ImagePositionPatient=(10.0 * (3 - z), 4.0 * z, 0),
            PixelSpacing=(1, 1),
        )
    (volume,) = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head), head, atol=2)


def test_without_positions_the_number_decides(tmp_path, dicom, head):
    for z in range(4):
        dicom(f"{3 - z}", head[z], InstanceNumber=z)
    (volume,) = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head), head, atol=2)


def test_isotropic_series_are_cut_from_every_side(tmp_path, dicom, phantom):
    cube = phantom((72, 80))[None] * np.hanning(70)[:, None, None]
    for z, pixels in enumerate((1000 * cube).astype(np.uint16)):
        dicom(
            f"{z:03d}",
            pixels,
            ImageOrientationPatient=AXIAL,
            ImagePositionPatient=(0, 0, 1.2 * z),
            PixelSpacing=(1, 1),
        )
    (volume,) = _volumes(tmp_path)
    assert {one.shape for one in volume} == {(72, 80), (70, 80), (70, 72)}


def test_positions_that_come_again_are_volumes_of_their_own_scale(tmp_path, dicom, head):
    for echo, brightness in enumerate((1, 4)):
        for z in range(4):
            dicom(
                f"{z}{echo}",
                head[z] * np.uint16(brightness),
                InstanceNumber=10 * echo + z,
                ImageOrientationPatient=AXIAL,
                ImagePositionPatient=(0, 0, 5.0 * z),
            )
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 8
    np.testing.assert_allclose(np.stack(volume[:4]), np.stack(volume[4:]), atol=1e-3)


def test_rescaling_makes_the_slices_of_a_series_comparable(tmp_path, dicom, head):
    for z in range(4):
        slope = (1, 0.5)[z % 2]
        stored = ((head[z] + 100.0) / slope).astype(np.uint16)
        dicom(f"{z}", stored, InstanceNumber=z, RescaleSlope=slope, RescaleIntercept=-100)
    (volume,) = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head), head, atol=2)


def test_monochrome1_is_turned_round_with_one_white_for_the_series(tmp_path, dicom, head):
    # A slice without air.
    head[2] = np.maximum(head[2], 200)
    for z in range(4):
        inverted = dict(PhotometricInterpretation="MONOCHROME1")
        dicom(f"{z}", np.uint16(3000) - head[z], InstanceNumber=z, **inverted)
    (volume,) = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head), head, atol=2)


def _enhanced(head, order, slopes=(1, 1, 1, 1), component=None):
    """Attributes of an enhanced multi-frame image with these frames of `head`."""
    frames = []
    for z, slope in zip(order, slopes, strict=True):
        frame = Dataset()
        place, values, kind = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 5.0 * z]
        values.RescaleSlope, values.RescaleIntercept = slope, 0
        frame.PlanePositionSequence = [place]
        frame.PixelValueTransformationSequence = [values]
        kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        kind.ComplexImageComponent = (component or {}).get(z, "MAGNITUDE")
        frame.MRImageFrameTypeSequence = [kind]
        frames.append(frame)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing = [1, 1]
    shared.PlaneOrientationSequence = [plane]
    shared.PixelMeasuresSequence = [measures]
    return {
        "PerFrameFunctionalGroupsSequence": frames,
        "SharedFunctionalGroupsSequence": [shared],
    }


def test_frames_of_one_file_have_places_and_scales_of_their_own(tmp_path, dicom, head):
    order, slopes = (2, 0, 3, 1), (1, 2, 4, 1)
    stored = np.stack([head[z] // s for z, s in zip(order, slopes, strict=True)]).astype(np.uint16)
    dicom("enhanced", stored, **_enhanced(head, order, slopes))
    (volume,) = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head), head, atol=5)


def test_frames_that_are_phase_are_left_out(tmp_path, dicom, head):
    dicom("enhanced", head, **_enhanced(head, range(4), component={1: "PHASE", 2: "REAL"}))
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 2


def test_compressed_pixels_are_read_where_there_is_a_decoder(tmp_path, dicom, head):
    dicom("a", head[3], RLELossless)
    (volume,) = _volumes(tmp_path)
    np.testing.assert_allclose(_scaled(volume, head[3]), head[3:], atol=1)


def test_slices_of_different_sizes_may_share_a_series(tmp_path, dicom, head):
    dicom("a", head[0], ImageOrientationPatient=AXIAL, ImagePositionPatient=(0, 0, 0))
    dicom("b", head[1, :70, :66], ImageOrientationPatient=AXIAL, ImagePositionPatient=(0, 0, 1))
    (volume,) = _volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80), (70, 66)]


def _no_decoder(dicom, head):
    dicom("rubbish", head[0], JPEGLSLossless)
    return r"its pixels are compressed \(JPEG-LS.*\) and cannot be decoded"


def _cut(dicom, head):
    path = dicom("rubbish", head[0])
    path.write_bytes(path.read_bytes()[:-4000])
    return "rubbish is left out: ."


def _cut_in_the_header(dicom, head):
    path = dicom("rubbish", head[0])
    path.write_bytes(path.read_bytes()[:180])
    return "rubbish is left out: ."


def _report(dicom, head):
    dicom("rubbish", None)
    return "it is DICOM without an image"


def _phase(dicom, head):
    dicom("rubbish", head[0], ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
    return "it is a phase, real or imaginary image, no magnitude"


def _colours(dicom, head):
    colours = np.zeros((72, 240), np.uint8)
    dicom(
        "rubbish",
        colours,
        PhotometricInterpretation="RGB",
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        BitsAllocated=8,
    )
    return r"its pixels are colours \(RGB\)"


@pytest.mark.parametrize("series", ["1.2.3", "1.2.4"], ids=["same series", "its own series"])
@pytest.mark.parametrize(
    "spoil",
    [_no_decoder, _cut, _cut_in_the_header, _report, _phase, _colours],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_rubbish_is_named_in_the_log_and_left_out(tmp_path, dicom, head, caplog, spoil, series):
    for z in range(2):
        dicom(f"{z}", head[z], InstanceNumber=z, SeriesInstanceUID=series)
    sentence = spoil(dicom, head)
    (volume,) = _volumes(tmp_path)
    assert len(volume) == 2
    first, summary = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert re.search(sentence, first)
    assert "\n" not in first
    assert summary.startswith("1 of 3 files")


def test_a_series_of_rubbish_is_told_file_by_file(tmp_path, dicom, head, caplog):
    for z in range(2):
        dicom(f"{z}", head[z], JPEGLSLossless)
    with pytest.raises(DataError, match="holds no usable magnitude image"):
        _volumes(tmp_path)
    assert caplog.text.count("cannot be decoded") == 2
    assert caplog.text.count("is left out") == 2
    assert "2 of 2 files" in caplog.text


def test_a_series_that_shows_nothing_is_told_once(tmp_path, dicom, head, caplog):
    dicom("a", head[0], JPEGLSLossless)
    for z in range(3):
        dicom(f"{z}", head[z] // 5000, InstanceNumber=z)
    np.save(tmp_path / "head.npy", head)
    assert len(_volumes(tmp_path)) == 1
    assert "0 with 2 more of its series is left out: no slice is finite" in caplog.text
    assert "4 of 5 files" in caplog.text


def test_an_image_type_of_one_word_is_no_reason(tmp_path, dicom, head):
    dicom("a", head[0], ImageType="ORIGINAL")
    assert len(_volumes(tmp_path)) == 1


def test_a_missing_reader_is_named(tmp_path, dicom, head, caplog, monkeypatch):
    dicom("a", head[0])
    np.save(tmp_path / "head.npy", head)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert len(_volumes(tmp_path)) == 1
    assert "DICOM files need pydicom: pip install 'score-gadget[train]'" in caplog.text
