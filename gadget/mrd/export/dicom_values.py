"""Conversion of texts of an XML header to DICOM values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, time

from gadget.mrd.xml_header.elements import to_number

POSITIONS = ("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL")


def clean(value: str, limit: int = 64) -> str:
    """Return a text that a DICOM attribute can hold: no control characters, no backslashes."""
    plain = "".join(letter if letter.isprintable() else " " for letter in value.replace("\\", "/"))
    return plain.strip()[:limit].strip()


def as_short(value: str) -> str:
    """Return a text for the attributes that hold 16 letters."""
    return clean(value, 16)


def as_code(value: str) -> str:
    """Return a text of the few letters that DICOM's codes are made of."""
    return re.sub(r"[^A-Z0-9_ ]", "_", as_short(value.upper()))


def as_date(value: str) -> str:
    """Return a date as DICOM writes it, an empty text for an impossible one."""
    found = re.match(r"(\d{4})-?(\d\d)-?(\d\d)", value, re.ASCII)
    return "".join(found.groups()) if found and _exists(date, found.groups()) else ""


def as_time(value: str) -> str:
    """Return a time of day as DICOM writes it, an empty text for an impossible one."""
    found = re.match(r"(\d\d):?(\d\d):?(\d\d)(\.\d{1,6})?", value, re.ASCII)
    if found is None or not _exists(time, found.groups()[:3]):
        return ""
    return "".join(part or "" for part in found.groups())


def _exists(kind: Callable[..., date | time], parts: Sequence[str]) -> bool:
    """Say whether there is such a date or time."""
    try:
        kind(*map(int, parts))
    except ValueError:
        return False
    return True


def as_sex(value: str) -> str:
    """Return the sex of a patient, where it is one that DICOM knows."""
    return value.upper() if value.upper() in ("M", "F", "O") else ""


def as_position(value: str) -> str:
    """Return the patient position, where it is one of DICOM's codes."""
    return value if value in POSITIONS else ""


def as_uid(value: str) -> str:
    """Return an identifier, where it is one."""
    valid = re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", value, re.ASCII)
    return value if valid and len(value) <= 64 else ""


def as_megahertz(value: str) -> float | None:
    """Return a frequency [MHz] of one in Hz."""
    hertz = to_number(value)
    return hertz / 1e6 if hertz else None
