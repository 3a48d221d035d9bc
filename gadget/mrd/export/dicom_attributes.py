"""DICOM attributes of patient, study, scanner and sequence, from the XML header."""

from __future__ import annotations

import hashlib
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import ismrmrd

from gadget.mrd.export.dicom_values import (
    as_code,
    as_date,
    as_megahertz,
    as_position,
    as_sex,
    as_short,
    as_time,
    as_uid,
    clean,
)
from gadget.mrd.images.meta import meta_values
from gadget.mrd.xml_header.elements import (
    children,
    find,
    header_root,
    of_contrast,
    text,
    to_number,
    user_parameter,
)

Attributes: TypeAlias = dict[str, Any]
"""Values by DICOM's keywords."""

NAMESPACE = uuid.UUID("6f1c1ba4-2f0d-5b0e-9c55-0d3a6a8b7f11")
"""UUID namespace of all identifiers that are made here."""
IMAGE_TYPE_CODES = {
    ismrmrd.IMTYPE_MAGNITUDE: "M",
    ismrmrd.IMTYPE_PHASE: "P",
    ismrmrd.IMTYPE_REAL: "R",
    ismrmrd.IMTYPE_IMAG: "I",
    ismrmrd.IMTYPE_COMPLEX: "M",
}
EMPTY = b"<ismrmrdHeader/>"
PLAIN_ROLES = ("Image", "Phase")


def make_uid(*parts: str) -> str:
    """Return a UID below the root 2.25, the same for the same texts."""
    return f"2.25.{uuid.uuid5(NAMESPACE, chr(31).join(parts)).int}"


Convert: TypeAlias = Callable[[str], Any]
SUBJECT, STUDY = "subjectInformation", "studyInformation"
MEASUREMENT, SYSTEM = "measurementInformation", "acquisitionSystemInformation"

REQUIRED: tuple[tuple[str, str, str, Convert], ...] = (
    ("PatientName", SUBJECT, "patientName", clean),
    ("PatientID", SUBJECT, "patientID", clean),
    ("PatientBirthDate", SUBJECT, "patientBirthdate", as_date),
    ("PatientSex", SUBJECT, "patientGender", as_sex),
    ("StudyInstanceUID", STUDY, "studyInstanceUID", as_uid),
    ("StudyDate", STUDY, "studyDate", as_date),
    ("StudyTime", STUDY, "studyTime", as_time),
    ("StudyID", STUDY, "studyID", as_short),
    ("AccessionNumber", STUDY, "accessionNumber", as_short),
    ("ReferringPhysicianName", STUDY, "referringPhysicianName", clean),
    ("PatientPosition", MEASUREMENT, "patientPosition", as_position),
    ("FrameOfReferenceUID", MEASUREMENT, "frameOfReferenceUID", as_uid),
    ("Manufacturer", SYSTEM, "systemVendor", clean),
    ("RepetitionTime", "sequenceParameters", "TR", to_number),
)
"""DICOM type 2 attributes: in every file, empty where unknown."""
OPTIONAL: tuple[tuple[str, str, str, Convert], ...] = (
    ("PatientWeight", SUBJECT, "patientWeight_kg", to_number),
    ("PatientSize", SUBJECT, "patientHeight_m", to_number),
    ("StudyDescription", STUDY, "studyDescription", clean),
    ("BodyPartExamined", STUDY, "bodyPartExamined", as_code),
    ("SeriesDate", MEASUREMENT, "seriesDate", as_date),
    ("SeriesTime", MEASUREMENT, "seriesTime", as_time),
    ("ProtocolName", MEASUREMENT, "protocolName", clean),
    ("SequenceName", MEASUREMENT, "sequenceName", as_short),
    ("ManufacturerModelName", SYSTEM, "systemModel", clean),
    ("MagneticFieldStrength", SYSTEM, "systemFieldStrength_T", to_number),
    ("InstitutionName", SYSTEM, "institutionName", clean),
    ("StationName", SYSTEM, "stationName", as_short),
    ("ImagingFrequency", "experimentalConditions", "H1resonanceFrequency_Hz", as_megahertz),
    ("FlipAngle", "sequenceParameters", "flipAngle_deg", to_number),
)


class ScanAttributes:
    """Attributes that all files of a measurement share.

    Parameters
    ----------
    header_xml
        XML header of the raw data. Without one, or for what it leaves out, the patient is
        anonymous.

    Raises
    ------
    DataError
        The text is not an ISMRMRD header.
    """

    def __init__(self, header_xml: bytes | None) -> None:
        self._root = header_root(header_xml or EMPTY)
        self._shared = _read(self._root, REQUIRED)
        optional = _read(self._root, OPTIONAL)
        self._shared |= {keyword: value for keyword, value in optional.items() if value}

    def shared(self, content: str) -> Attributes:
        """Return the attributes that are the same in all files.

        Parameters
        ----------
        content
            Digest of all images: what identifies a measurement that has no identifier of its own.
        """
        named = text(self._root, MEASUREMENT, "measurementID")
        header_xml = ElementTree.tostring(self._root)
        identity = hashlib.sha256(header_xml).hexdigest() if named else content
        found = dict(self._shared)
        found["PatientName"] = found["PatientName"] or "Anonymous"
        found["PatientID"] = found["PatientID"] or f"anonymous-{identity[:16]}"
        found["StudyInstanceUID"] = found["StudyInstanceUID"] or make_uid("study", identity)
        found["FrameOfReferenceUID"] = found["FrameOfReferenceUID"] or make_uid("frame", identity)
        return found

    def of_image(self, header: ismrmrd.ImageHeader, meta: Mapping[str, Any]) -> Attributes:
        """Return the attributes of an image, from its contrast and metadata."""
        contrast = int(header.contrast)
        sequence = self._parameter("scanningSequence") or ["RM"]
        found: Attributes = {
            "ImageType": ["DERIVED", "PRIMARY", IMAGE_TYPE_CODES.get(header.image_type, "M")],
            "ScanningSequence": sequence,
            "SequenceVariant": self._parameter("sequenceVariant") or ["NONE"],
            "ScanOptions": self._parameter("scanOptions"),
            "MRAcquisitionType": "3D" if header.matrix_size[2] > 1 else "2D",
            "EchoTrainLength": self._echo_train(),
            "EchoNumbers": contrast + 1,
            "EchoTime": self._time(meta, "EchoTime", "TE", contrast),
        }
        role = " ".join(meta_values(meta, "DataRole", "GADGETRON_DataRole"))
        if role and role not in PLAIN_ROLES:
            found["ImageType"].append(as_code(role))
        inversion = self._time(meta, "InversionTime", "TI", contrast)
        if inversion:
            # DICOM allows the time with this kind of sequence alone.
            found["ScanningSequence"] = sequence if "IR" in sequence else [*sequence, "IR"]
            found["InversionTime"] = inversion
        return found

    def series_description(self, meta: Mapping[str, Any]) -> str:
        """Return the description of the scan with what the reconstruction adds to it."""
        scan = text(self._root, MEASUREMENT, "seriesDescription")
        scan = scan or text(self._root, MEASUREMENT, "protocolName") or ""
        added = meta_values(meta, "SequenceDescriptionAdditional", "GADGETRON_SeqDescription")
        return clean("_".join(part for part in (scan, *added) if part))

    def _time(self, meta: Mapping[str, Any], key: str, name: str, contrast: int) -> float | None:
        """Return a time [ms] from the metadata, or else the header's for that contrast."""
        found = to_number(" ".join(meta_values(meta, key, f"GADGETRON_{name}")))
        section = find(self._root, "sequenceParameters")
        times = children(section, name) if section is not None else []
        time = of_contrast(times, contrast)
        return to_number(time.text) if found is None and time is not None else found

    def _parameter(self, name: str) -> list[str]:
        """Return the codes in a parameter, separated by backslashes as in DICOM."""
        codes = map(as_code, (user_parameter(self._root, name) or "").split("\\"))
        return [code for code in codes if code]

    def _echo_train(self) -> int | None:
        found = to_number(text(self._root, "encoding", "echoTrainLength"))
        return int(found) if found is not None and 0 < found < 2**31 else None


def _read(
    root: ElementTree.Element, table: tuple[tuple[str, str, str, Convert], ...]
) -> Attributes:
    found = {}
    for keyword, section, name, convert in table:
        value = text(root, section, name)
        found[keyword] = convert(value) if value else ""
    return found
