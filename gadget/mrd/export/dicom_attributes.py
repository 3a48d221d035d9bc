"""What the XML header says of patient, study, scanner and sequence, as DICOM attributes."""

from __future__ import annotations

import hashlib
import re
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import ismrmrd

from gadget.mrd.header import children, find, parse_xml, text

Attributes: TypeAlias = dict[str, Any]
"""Values by DICOM's keywords."""

NAMESPACE = uuid.UUID("6f1c1ba4-2f0d-5b0e-9c55-0d3a6a8b7f11")
"""Of all identifiers that are made here."""
POSITIONS = ("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL")
KINDS = {
    ismrmrd.IMTYPE_MAGNITUDE: "M",
    ismrmrd.IMTYPE_PHASE: "P",
    ismrmrd.IMTYPE_REAL: "R",
    ismrmrd.IMTYPE_IMAG: "I",
    ismrmrd.IMTYPE_COMPLEX: "M",
}
EMPTY = b"<ismrmrdHeader/>"
PLAIN_ROLES = ("Image", "Phase")


def make_uid(*parts: str) -> str:
    """Return the same identifier for the same texts, below the root 2.25 that is free for all."""
    return f"2.25.{uuid.uuid5(NAMESPACE, chr(31).join(parts)).int}"


def clean(value: str, limit: int = 64) -> str:
    """Return a text that a DICOM attribute can hold: no control characters, no backslashes."""
    plain = "".join(letter if letter.isprintable() else " " for letter in value.replace("\\", "/"))
    return plain.strip()[:limit].strip()


def _short(value: str) -> str:
    return clean(value, 16)


def _date(value: str) -> str:
    found = re.match(r"(\d{4})-?(\d\d)-?(\d\d)", value)
    return "".join(found.groups()) if found else ""


def _time(value: str) -> str:
    found = re.match(r"(\d\d):?(\d\d):?(\d\d)(\.\d{1,6})?", value)
    return "".join(part or "" for part in found.groups()) if found else ""


def _sex(value: str) -> str:
    return value.upper() if value.upper() in ("M", "F", "O") else ""


def _position(value: str) -> str:
    return value if value in POSITIONS else ""


def _uid(value: str) -> str:
    valid = re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", value)
    return value if valid and len(value) <= 64 else ""


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _megahertz(value: str) -> float | None:
    hertz = _number(value)
    return hertz / 1e6 if hertz else None


Convert: TypeAlias = Callable[[str], Any]
SUBJECT, STUDY = "subjectInformation", "studyInformation"
MEASUREMENT, SYSTEM = "measurementInformation", "acquisitionSystemInformation"

REQUIRED: tuple[tuple[str, str, str, Convert], ...] = (
    ("PatientName", SUBJECT, "patientName", clean),
    ("PatientID", SUBJECT, "patientID", clean),
    ("PatientBirthDate", SUBJECT, "patientBirthdate", _date),
    ("PatientSex", SUBJECT, "patientGender", _sex),
    ("StudyInstanceUID", STUDY, "studyInstanceUID", _uid),
    ("StudyDate", STUDY, "studyDate", _date),
    ("StudyTime", STUDY, "studyTime", _time),
    ("StudyID", STUDY, "studyID", _short),
    ("AccessionNumber", STUDY, "accessionNumber", _short),
    ("ReferringPhysicianName", STUDY, "referringPhysicianName", clean),
    ("PatientPosition", MEASUREMENT, "patientPosition", _position),
    ("FrameOfReferenceUID", MEASUREMENT, "frameOfReferenceUID", _uid),
    ("Manufacturer", SYSTEM, "systemVendor", clean),
    ("RepetitionTime", "sequenceParameters", "TR", _number),
)
"""DICOM wants these in every file, if need be empty."""
OPTIONAL: tuple[tuple[str, str, str, Convert], ...] = (
    ("PatientWeight", SUBJECT, "patientWeight_kg", _number),
    ("PatientSize", SUBJECT, "patientHeight_m", _number),
    ("StudyDescription", STUDY, "studyDescription", clean),
    ("BodyPartExamined", STUDY, "bodyPartExamined", lambda value: _short(value).upper()),
    ("SeriesDate", MEASUREMENT, "seriesDate", _date),
    ("SeriesTime", MEASUREMENT, "seriesTime", _time),
    ("ProtocolName", MEASUREMENT, "protocolName", clean),
    ("SequenceName", MEASUREMENT, "sequenceName", _short),
    ("ManufacturerModelName", SYSTEM, "systemModel", clean),
    ("MagneticFieldStrength", SYSTEM, "systemFieldStrength_T", _number),
    ("InstitutionName", SYSTEM, "institutionName", clean),
    ("StationName", SYSTEM, "stationName", _short),
    ("ImagingFrequency", "experimentalConditions", "H1resonanceFrequency_Hz", _megahertz),
    ("FlipAngle", "sequenceParameters", "flipAngle_deg", _number),
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
        self._root = parse_xml(header_xml or EMPTY)
        self._shared = _read(self._root, REQUIRED)
        optional = _read(self._root, OPTIONAL)
        self._shared |= {keyword: value for keyword, value in optional.items() if value}

    def shared(self, content: str) -> Attributes:
        """Return what is the same in all files.

        Parameters
        ----------
        content
            Digest of all images: what identifies a measurement that has no identifier of its own.
        """
        named = text(self._root, MEASUREMENT, "measurementID")
        whole = ElementTree.tostring(self._root)
        identity = hashlib.sha256(whole).hexdigest() if named else content
        found = dict(self._shared)
        found["PatientName"] = found["PatientName"] or "Anonymous"
        found["PatientID"] = found["PatientID"] or f"anonymous-{identity[:16]}"
        found["StudyInstanceUID"] = found["StudyInstanceUID"] or make_uid("study", identity)
        found["FrameOfReferenceUID"] = found["FrameOfReferenceUID"] or make_uid("frame", identity)
        return found

    def of_image(self, header: ismrmrd.ImageHeader, meta: Mapping[str, Any]) -> Attributes:
        """Return what the contrast and the metadata of an image tell of it."""
        contrast = int(header.contrast)
        sequence = self._parameter("scanningSequence") or "RM"
        found: Attributes = {
            "ImageType": ["DERIVED", "PRIMARY", KINDS.get(header.image_type, "M")],
            "ScanningSequence": [sequence],
            "SequenceVariant": self._parameter("sequenceVariant") or "NONE",
            "ScanOptions": self._parameter("scanOptions") or "",
            "MRAcquisitionType": "3D" if header.matrix_size[2] > 1 else "2D",
            "EchoTrainLength": self._echo_train(),
            "EchoNumbers": contrast + 1,
            "EchoTime": self._time(meta, "EchoTime", "TE", contrast),
        }
        role = clean(" ".join(values(meta, "DataRole")), 16)
        if role and role not in PLAIN_ROLES:
            found["ImageType"].append(re.sub(r"[^A-Z0-9_ ]", "_", role.upper()))
        inversion = self._time(meta, "InversionTime", "TI", contrast)
        if inversion:
            # DICOM allows the time with this kind of sequence alone.
            found["ScanningSequence"] = [sequence, "IR"] if sequence != "IR" else ["IR"]
            found["InversionTime"] = inversion
        return found

    def series_description(self, meta: Mapping[str, Any]) -> str:
        """Return the description of the scan with what the reconstruction adds to it."""
        scan = text(self._root, MEASUREMENT, "seriesDescription")
        scan = scan or text(self._root, MEASUREMENT, "protocolName") or ""
        added = values(meta, "SequenceDescriptionAdditional", "GADGETRON_SeqDescription")
        return clean("_".join(part for part in (scan, *added) if part))

    def _time(self, meta: Mapping[str, Any], told: str, name: str, contrast: int) -> float | None:
        """Return a time [ms] from the metadata, or else the header's for that contrast."""
        found = _number(" ".join(values(meta, told, f"GADGETRON_{name}")))
        section = find(self._root, "sequenceParameters")
        times = children(section, name) if section is not None else []
        if found is not None or not times:
            return found
        return _number(times[contrast if contrast < len(times) else 0].text or "")

    def _parameter(self, name: str) -> str | None:
        section = find(self._root, "userParameters")
        for node in children(section, "userParameterString") if section is not None else []:
            if text(node, "name") == name:
                return _short(text(node, "value") or "").upper()
        return None

    def _echo_train(self) -> int | None:
        found = text(self._root, "encoding", "echoTrainLength")
        return int(found) if found and found.isdigit() else None


def values(meta: Mapping[str, Any], *names: str) -> list[str]:
    """Return the texts of the first of these metadata that an image has."""
    for name in names:
        found = meta.get(name)
        if found:
            return [str(one) for one in found] if isinstance(found, list) else [str(found)]
    return []


def _read(
    root: ElementTree.Element, table: tuple[tuple[str, str, str, Convert], ...]
) -> Attributes:
    found = {}
    for keyword, section, name, convert in table:
        value = text(root, section, name)
        found[keyword] = convert(value) if value else ""
    return found
