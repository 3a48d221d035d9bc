from __future__ import annotations

from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from gadget.errors import ConfigError, DataError
from gadget.mrd.export.dicom import DicomWriter
from gadget.mrd.export.nifti import NiftiWriter

pydicom = pytest.importorskip("pydicom")

OBLIQUE = {
    "read_dir": (0.8, 0.6, 0.0),
    "phase_dir": (-0.6 * 0.75**0.5, 0.8 * 0.75**0.5, 0.5),
    "slice_dir": (0.3, -0.4, 0.75**0.5),
}
HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>Müller^Ä</patientName><patientWeight_kg>71.25</patientWeight_kg>
<patientID>A\\17</patientID><patientBirthdate>1970-02-28</patientBirthdate>
<patientGender>f</patientGender></subjectInformation>
<studyInformation><studyDate>2024-05-06</studyDate><studyTime>07:08:09.5</studyTime>
<studyID>a study with a long name</studyID><accessionNumber>42</accessionNumber>
<studyInstanceUID>1.2.3.4</studyInstanceUID></studyInformation>
<measurementInformation><measurementID>7</measurementID><seriesDate>2024-05-06</seriesDate>
<patientPosition>HFS</patientPosition><protocolName>t2 tse</protocolName>
<frameOfReferenceUID>1.2.3.5</frameOfReferenceUID></measurementInformation>
<acquisitionSystemInformation><systemVendor>ACME</systemVendor>
<systemFieldStrength_T>2.89362</systemFieldStrength_T></acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>123250000</H1resonanceFrequency_Hz>
</experimentalConditions>
<sequenceParameters><TR>550</TR><TE>9</TE><TE>18.5</TE><TI>100</TI><flipAngle_deg>70</flipAngle_deg>
</sequenceParameters>
<userParameters><userParameterString><name>scanningSequence</name><value>gr</value>
</userParameterString></userParameters></ismrmrdHeader>
""".encode()


@pytest.fixture
def convert(tmp_path):
    """Writes images and reads the files back, in the order of their names."""

    def run(*images, stem="", xml=None, folder="dicom"):
        with DicomWriter(tmp_path / folder, stem, xml) as writer:
            for image in images:
                writer.write(image)
        return [pydicom.dcmread(path) for path in sorted((tmp_path / folder).rglob("*.dcm"))]

    return run


def numbered(*shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def real(file):
    return file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)


def test_an_oblique_slice_lies_where_it_was_measured(convert, make_image):
    fields = {"position": (10, 20, 30), "field_of_view": (12, 12, 5), **OBLIQUE}
    (file,) = convert(make_image(numbered(1, 4, 6), **fields))
    # Three voxels of 2 mm back along the rows, two of 3 mm along the columns.
    first = (10 - 4.8 + 6 * 0.519615, 20 - 3.6 - 6 * 0.692820, 30 - 3)
    np.testing.assert_allclose(file.ImagePositionPatient, first, atol=1e-4)
    orientation = (*OBLIQUE["read_dir"], *OBLIQUE["phase_dir"])
    np.testing.assert_allclose(file.ImageOrientationPatient, orientation, atol=1e-6)
    assert list(file.PixelSpacing) == [3, 2]
    assert file.SliceThickness == 5
    assert "SpacingBetweenSlices" not in file
    assert (file.Rows, file.Columns) == (4, 6)
    normal = np.array(OBLIQUE["slice_dir"])
    assert float(file.SliceLocation) == pytest.approx(normal @ (10, 20, 30), abs=1e-4)
    np.testing.assert_allclose(real(file), numbered(4, 6), atol=1e-3)


@pytest.mark.parametrize("handed", [1, -1])
@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 4, 7)])
def test_dicom_and_nifti_agree_on_every_voxel(convert, make_image, tmp_path, handed, shape):
    nibabel = pytest.importorskip("nibabel")
    normal = handed * np.array(OBLIQUE["slice_dir"])
    fields = {**OBLIQUE, "slice_dir": tuple(normal), "field_of_view": (12, 15, 4 * shape[0])}
    places = (8.0, 0.0, 4.0) if shape[0] == 1 else (0.0,)
    images = [
        make_image(numbered(*shape) + 1000 * number, position=tuple(place * normal), **fields)
        for number, place in enumerate(places)
    ]
    files = convert(*images)
    with NiftiWriter(tmp_path / "nifti") as writer:
        for image in images:
            writer.write(image)
    volume = nibabel.load(tmp_path / "nifti" / "series_0.nii.gz")
    assert len(files) == volume.shape[2] == 3
    for z, file in enumerate(files):
        row, column = np.reshape(file.ImageOrientationPatient, (2, 3)).astype(float)
        at = np.array(file.ImagePositionPatient, float)
        at = at + 2 * float(file.PixelSpacing[1]) * row + 1 * float(file.PixelSpacing[0]) * column
        np.testing.assert_allclose(
            volume.affine @ (2, 1, z, 1), (-at[0], -at[1], at[2], 1), atol=1e-4
        )
        assert real(file)[1, 2] == pytest.approx(volume.dataobj[2, 1, z], abs=0.1)
        assert file.SpacingBetweenSlices == pytest.approx(4, abs=1e-4)
        assert file.InstanceNumber == z + 1


def test_float_pixels_share_one_scale_in_a_series(convert, make_image):
    images = [
        make_image(np.full((1, 2, 2), value, np.float32), position=(0, 0, value))
        for value in (0.25, 1e-3)
    ]
    dim, bright = convert(*images)
    assert bright.RescaleSlope == dim.RescaleSlope
    assert bright.pixel_array.max() == 65535
    np.testing.assert_allclose(real(bright), 0.25, rtol=1e-4)
    np.testing.assert_allclose(real(dim), 1e-3, atol=0.25 / 65535)
    assert bright.RescaleIntercept == 0


def test_negative_pixels_and_phases_come_back(convert, make_image):
    phase = np.linspace(-np.pi, np.pi, 8, dtype=np.float32).reshape(1, 2, 4)
    meta = {"WindowCenter": "8", "WindowWidth": "20"}
    (file,) = convert(make_image(phase, meta, image_type=ismrmrd.IMTYPE_PHASE))
    np.testing.assert_allclose(real(file), phase[0], atol=1e-4)
    assert list(file.ImageType) == ["DERIVED", "PRIMARY", "P"]
    assert "WindowCenter" not in file


def test_whole_numbers_are_stored_as_they_are(convert, make_image):
    pixels = numbered(1, 2, 4, dtype=np.int16) - 3
    (file,) = convert(make_image(pixels))
    np.testing.assert_array_equal(real(file), pixels[0])
    assert (file.RescaleSlope, file.RescaleIntercept) == (1, -3)


def test_scaled_uint16_pixels_say_what_they_stand_for(convert, make_image):
    meta = {
        "RescaleSlope": "0.5",
        "RescaleIntercept": "1",
        "WindowCenter": "50",
        "WindowWidth": "100",
    }
    (file,) = convert(make_image(np.full((1, 2, 2), 60000, np.uint16), meta))
    assert (file.pixel_array == 60000).all()
    assert (file.RescaleSlope, file.RescaleIntercept) == (0.5, 1)
    # The window is that of the rescaled pixels.
    assert (file.WindowCenter, file.WindowWidth) == (26, 50)


def test_a_window_narrower_than_dicom_knows_is_left_to_the_viewer(convert, make_image):
    meta = {"RescaleSlope": "0.005", "WindowCenter": "50", "WindowWidth": "100"}
    (file,) = convert(make_image(np.ones((1, 2, 2), np.uint16), meta))
    assert "WindowWidth" not in file and "WindowCenter" not in file


def test_the_window_of_float_pixels_is_theirs(convert, make_image):
    meta = {"GADGETRON_WindowCenter": "50", "GADGETRON_WindowWidth": "100"}
    (file,) = convert(make_image(numbered(1, 4, 6), meta))
    assert (file.WindowCenter, file.WindowWidth) == (50, 100)


def test_complex_and_coil_images_become_magnitudes(convert, make_image):
    pixels = np.stack([np.full((1, 2, 2), 3j), np.full((1, 2, 2), -4)]).astype(np.complex64)
    (file,) = convert(make_image(pixels, image_type=ismrmrd.IMTYPE_COMPLEX))
    np.testing.assert_allclose(real(file), 5)
    assert list(file.ImageType) == ["DERIVED", "PRIMARY", "M"]


@pytest.mark.filterwarnings("error")
def test_pixels_that_are_not_finite_do_not_spoil_the_rest(convert, make_image):
    pixels = np.array([[[1, np.nan], [np.inf, 2]]], np.float32)
    (file,) = convert(make_image(pixels))
    np.testing.assert_allclose(real(file), [[1, 0], [2, 2]], atol=1e-4)


def test_the_header_tells_patient_study_and_sequence(convert, make_image):
    (file,) = convert(make_image(numbered(1, 4, 4), contrast=1), xml=HEADER)
    assert str(file.PatientName) == "Müller^Ä"
    assert file.PatientID == "A/17"
    assert (file.PatientBirthDate, file.PatientSex) == ("19700228", "F")
    assert file.PatientWeight == 71.25
    assert (file.StudyDate, file.StudyTime) == ("20240506", "070809.5")
    assert file.StudyID == "a study with a l"
    assert file.StudyInstanceUID == "1.2.3.4"
    assert file.FrameOfReferenceUID == "1.2.3.5"
    assert file.PatientPosition == "HFS"
    assert (file.RepetitionTime, file.EchoTime, file.InversionTime) == (550, 18.5, 100)
    assert (file.FlipAngle, file.EchoNumbers) == (70, 2)
    assert file.ImagingFrequency == 123.25
    assert file.MagneticFieldStrength == 2.89362
    assert file.Manufacturer == "ACME"
    assert list(file.ScanningSequence) == ["GR", "IR"]
    assert file.SeriesDescription == file.ProtocolName == "t2 tse"


def test_an_echo_whose_time_the_header_leaves_out_has_none(convert, make_image):
    (file,) = convert(make_image(numbered(1, 4, 4), contrast=2), xml=HEADER)
    assert (file.EchoNumbers, file.EchoTime, file.InversionTime) == (3, None, 100)


def test_the_metadata_tell_what_the_images_are(convert, make_image):
    meta = {
        "DataRole": "STD_MAP",
        "EchoTime": "7.5",
        "ImageComments": ["AI", "score-gadget"],
        "SequenceDescriptionAdditional": "score_std",
    }
    image = make_image(numbered(1, 4, 4), meta, image_series_index=100)
    (file,) = convert(image, xml=HEADER, stem="scan7")
    assert list(file.ImageType) == ["DERIVED", "PRIMARY", "M", "STD_MAP"]
    assert file.SeriesNumber == 101
    assert file.SeriesDescription == "t2 tse_score_std"
    assert file.EchoTime == 7.5
    assert file.ImageComments == "AI; score-gadget; research software, not for diagnostic use"
    assert "not for diagnostic use" in file.DerivationDescription
    assert "scan7_series_100" in str(file.filename)


def test_a_long_comment_leaves_room_for_the_disclaimer(convert, make_image):
    (file,) = convert(make_image(numbered(1, 4, 4), {"ImageComments": "word " * 5_000}))
    assert file.ImageComments.startswith("word word")
    assert file.ImageComments.endswith("; research software, not for diagnostic use")
    assert len(file.ImageComments) <= 10_240  # of a long text of DICOM


def test_the_role_of_an_image_of_gadgetron_counts_too(convert, make_image):
    (file,) = convert(make_image(numbered(1, 4, 4), {"GADGETRON_DataRole": "SNR_MAP"}))
    assert list(file.ImageType) == ["DERIVED", "PRIMARY", "M", "SNR_MAP"]


def test_series_are_numbered_from_one(convert, make_image):
    files = convert(
        *(make_image(numbered(1, 4, 4), image_series_index=series) for series in (0, 1, 100))
    )
    assert [(file.SeriesNumber, Path(file.filename).parent.name) for file in files] == [
        (1, "series_0"),
        (2, "series_1"),
        (101, "series_100"),
    ]
    assert len({file.SeriesInstanceUID for file in files}) == 3


def test_without_a_header_the_patient_is_anonymous(convert, make_image):
    (file,) = convert(make_image(numbered(1, 4, 4)))
    assert str(file.PatientName) == "Anonymous"
    assert file.PatientID.startswith("anonymous-")
    assert (file.PatientBirthDate, file.StudyDate, file.PatientPosition) == ("", "", "")
    for uid in (file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID):
        assert uid.is_valid and uid.startswith("2.25.")
    # DICOM demands these of every MR image, whatever is known.
    for keyword in (
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "EchoTime", "RepetitionTime"),
        *("StudyID", "AccessionNumber", "ReferringPhysicianName", "Manufacturer", "Laterality"),
        *("PositionReferenceIndicator", "EchoTrainLength", "MRAcquisitionType"),
    ):
        assert keyword in file


def test_identifiers_follow_the_content(convert, make_image):
    def images(value):
        return [
            make_image(np.full((1, 4, 4), value, np.float32), position=(0, 0, z), slice=z)
            for z in range(2)
        ]

    first = convert(*images(1), xml=HEADER, folder="first")
    again = convert(*images(1), xml=HEADER, folder="again")
    other = convert(*images(2), xml=HEADER, folder="other")
    for one, two in zip(first, again, strict=True):
        assert one.to_json() == two.to_json()
    assert len({file.SOPInstanceUID for file in (*first, *other)}) == 4
    assert first[0].SeriesInstanceUID == first[1].SeriesInstanceUID != other[0].SeriesInstanceUID
    assert first[0].file_meta.MediaStorageSOPInstanceUID == first[0].SOPInstanceUID


def test_series_of_one_scan_share_study_and_frame_only(convert, make_image):
    images = [make_image(numbered(1, 4, 4), image_series_index=n) for n in (0, 100)]
    one, two = convert(*images)
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.FrameOfReferenceUID == two.FrameOfReferenceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    (alone,) = convert(make_image(numbered(1, 4, 4) + 1), folder="other")
    assert alone.StudyInstanceUID != one.StudyInstanceUID
    assert alone.FrameOfReferenceUID != one.FrameOfReferenceUID


def test_repetitions_are_numbered_volume_by_volume(convert, make_image):
    images = [
        make_image(numbered(1, 4, 4), position=(0, 0, z), repetition=repetition)
        for z in (5, 0)
        for repetition in (1, 0)
    ]
    files = convert(*images)
    assert [file.AcquisitionNumber for file in files] == [1, 1, 2, 2]
    assert [file.ImagePositionPatient[2] for file in files] == [0, 5, 0, 5]


def test_a_shorter_series_leaves_nothing_of_a_longer_one(convert, make_image, tmp_path):
    convert(*(make_image(numbered(3, 4), position=(0, 0, z)) for z in range(3)))
    (tmp_path / "dicom" / "series_0" / "notes.txt").touch()
    (file,) = convert(make_image(numbered(3, 4) + 5))
    assert real(file).min() == pytest.approx(5, abs=0.01)
    assert (tmp_path / "dicom" / "series_0" / "notes.txt").exists()


def test_values_that_dicom_cannot_hold_are_left_out(convert, make_image):
    xml = HEADER.replace(b"1.2.3.4", b"no.uid").replace(b"1970-02-28", b"unknown")
    xml = xml.replace(b">f<", b">unknown<").replace(b"HFS", b"sideways")
    xml = xml.replace(b"t2 tse", b"x" * 100)
    (file,) = convert(make_image(numbered(1, 4, 4)), xml=xml)
    assert file.StudyInstanceUID.startswith("2.25.")
    assert (file.PatientBirthDate, file.PatientSex, file.PatientPosition) == ("", "", "")
    assert file.ProtocolName == "x" * 64


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [b"NaN", b"INF"])
def test_numbers_that_are_none_are_left_out(convert, make_image, value):
    xml = HEADER.replace(b"71.25", value).replace(b"550", value).replace(b"2.89362", value)
    xml = xml.replace(b"123250000", value).replace(b"18.5", value)
    told = value.decode()
    meta = {"WindowCenter": told, "WindowWidth": told, "RescaleSlope": told, "InversionTime": told}
    (file,) = convert(make_image(numbered(1, 4, 4, dtype=np.uint16), meta, contrast=1), xml=xml)
    assert (file.RepetitionTime, file.EchoTime, file.RescaleSlope) == (None, None, 1)
    assert file.InversionTime == 100
    for keyword in ("PatientWeight", "MagneticFieldStrength", "ImagingFrequency", "WindowWidth"):
        assert keyword not in file


@pytest.mark.filterwarnings("error")
def test_dates_that_never_were_are_left_out(convert, make_image):
    xml = HEADER.replace(b"1970-02-28", b"1970-02-30").replace(b"07:08:09.5", b"07:68:09")
    (file,) = convert(make_image(numbered(1, 4, 4)), xml=xml.replace(b"2024-05-06", b"0000-00-00"))
    assert (file.PatientBirthDate, file.StudyDate, file.StudyTime) == ("", "", "")
    assert "SeriesDate" not in file


@pytest.mark.filterwarnings("error")
def test_dates_times_and_identifiers_in_other_digits_are_left_out(convert, make_image):
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    xml = HEADER.decode()
    for text in ("1970-02-28", "2024-05-06", "07:08:09.5", "1.2.3.4"):
        xml = xml.replace(f">{text}<", f">{text.translate(arabic)}<")
    (file,) = convert(make_image(numbered(1, 4, 4)), xml=xml.encode())
    assert (file.PatientBirthDate, file.StudyDate, file.StudyTime) == ("", "", "")
    assert file.StudyInstanceUID.startswith("2.25.")


@pytest.mark.filterwarnings("error")
def test_codes_hold_no_other_letters_than_dicom_has_for_them(convert, make_image):
    parameter = "<userParameterString><name>{}</name><value>{}</value></userParameterString>"
    more = parameter.format("sequenceVariant", "sk\\sp") + parameter.format("scanOptions", "pfp; é")
    xml = HEADER.decode().replace("</userParameters>", f"{more}</userParameters>")
    part, train = (
        "<bodyPartExamined>knee-left</bodyPartExamined>",
        "<echoTrainLength>²</echoTrainLength>",
    )
    xml = xml.replace("</studyInformation>", f"{part}</studyInformation>")
    xml = xml.replace("</ismrmrdHeader>", f"<encoding>{train}</encoding></ismrmrdHeader>")
    (file,) = convert(make_image(numbered(1, 4, 4)), xml=xml.encode())
    assert list(file.SequenceVariant) == ["SK", "SP"]
    assert (file.ScanOptions, file.BodyPartExamined) == ("PFP_ _", "KNEE_LEFT")
    assert file.EchoTrainLength is None


def test_a_folder_that_cannot_be_made(tmp_path, make_image):
    (tmp_path / "series_0").touch()
    writer = DicomWriter(tmp_path)
    writer.write(make_image(numbered(1, 4, 4)))
    with pytest.raises(DataError, match="cannot be made"):
        writer.close()


def test_a_header_that_is_none_is_an_error_at_once(tmp_path):
    with pytest.raises(DataError, match="not well-formed"):
        DicomWriter(tmp_path / "none", header_xml=b"<x")
    assert not (tmp_path / "none").exists()


def test_pydicom_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r"score-gadget\[dicom\]"):
        DicomWriter(tmp_path)
