"""Image metadata, under the names that ISMRMRD tools look for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from xml.etree.ElementTree import ParseError

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.xml_header.elements import of_contrast
from gadget.mrd.xml_header.header import Header
from gadget.mrd.xml_header.safe_xml import declares_entities

log = logging.getLogger(__name__)

MetaValue: TypeAlias = str | int | float | bool | Sequence[str | int | float]

NAME = "score-gadget"
PREFIX = "ScoreGadget_"
STD_ROLE = "STD_MAP"
"""`DataRole` of a standard deviation."""
MIN_WINDOW = 16
"""Windows are integers: pixels of smaller range get none."""


def image_meta(
    header: Header,
    reference: ismrmrd.AcquisitionHeader,
    *,
    role: str = "Image",
    comments: Sequence[str] = (),
    history: Sequence[str] = (),
    description: str = "",
    details: Mapping[str, MetaValue | None] | None = None,
) -> dict[str, MetaValue]:
    """Return the metadata of an image.

    Parameters
    ----------
    header
        Header of the measurement.
    reference
        Readout that the image's directions come from.
    role
        What the pixels are: Image, STD_MAP, Phase, ...
    comments
        Shown with the image; AI and the name of this package come first.
    history
        What was done to the image, after AI and the name of this package.
    description
        Appended to the series description by what writes DICOM.
    details
        How the image was made; written under names that begin with `ScoreGadget_`.
    """
    comment = ["AI", NAME, *comments]
    meta: dict[str, MetaValue] = {"Keep_image_geometry": 1}
    set_both(meta, "DataRole", role)
    set_both(meta, "ImageProcessingHistory", ["AI", NAME, *history])
    set_both(meta, "ImageComment", comment)
    meta["ImageComments"] = comment
    if description:
        meta["GADGETRON_SeqDescription"] = description
        meta["SequenceDescriptionAdditional"] = description
        meta["SeriesDescriptionAdditional"] = description
    meta["ImageRowDir"] = _direction(reference.read_dir)
    meta["ImageColumnDir"] = _direction(reference.phase_dir)
    _times(meta, header, reference.idx.contrast)
    for name, value in (details or {}).items():
        if value is not None:
            meta[PREFIX + name] = value
    return meta


def to_meta(values: Mapping[str, MetaValue]) -> ismrmrd.Meta:
    """Return `ismrmrd.Meta` with values that survive its XML.

    ismrmrd turns tuples into one text, reads empty texts back as None, and writes control
    characters that no parser accepts; Gadgetron's image arrays hold ASCII alone.
    """
    meta = ismrmrd.Meta()
    for name, value in values.items():
        if isinstance(value, str) or not isinstance(value, Sequence):
            texts = [_ascii_text(value)]
        else:
            texts = [_ascii_text(item) for item in value]
        texts = [text for text in texts if text]
        if texts:
            meta[_ascii_text(name)] = texts[0] if len(texts) == 1 else texts
    return meta


def parse_meta(attributes: bytes) -> ismrmrd.Meta:
    """Parse the attributes of an image from an untrusted source.

    Attributes that are no metadata are dropped with a warning: the image is kept. Empty texts stay
    empty: ismrmrd reads them as None, and writes "None" for that.
    """
    if declares_entities(attributes):
        log.warning("The attributes of an image declare a document type or entities: dropped.")
        return ismrmrd.Meta()
    try:
        meta = ismrmrd.Meta.deserialize(attributes.decode("utf-8", "replace"))
    except (ParseError, AssertionError) as error:
        log.warning("The attributes of an image are not ISMRMRD metadata (%s): dropped.", error)
        return ismrmrd.Meta()
    for name, value in meta.items():
        meta[name] = [one or "" for one in value] if isinstance(value, list) else value or ""
    return meta


def is_std_map(meta: Mapping[str, object]) -> bool:
    """Whether this is the metadata of a standard deviation map; it may have several roles."""
    role = meta.get("DataRole")
    return role == STD_ROLE or (isinstance(role, list) and STD_ROLE in role)


def display_window(image: NDArray[np.float32] | NDArray[np.uint16]) -> tuple[int, int] | None:
    """Return window centre and width, unless integers are too coarse for them."""
    high = float(np.quantile(image, 0.995)) * 1.1 if image.size else 0.0
    if not MIN_WINDOW <= high < 2**31:
        return None
    return round(high / 2), round(high)


def set_both(meta: dict[str, MetaValue], name: str, value: MetaValue) -> None:
    """Write a value under its name and under the one that Gadgetron looks for."""
    meta[name] = value
    meta[f"GADGETRON_{name}"] = value


def _times(meta: dict[str, MetaValue], header: Header, contrast: int) -> None:
    """Write echo and inversion time [ms], where the header has them for this contrast."""
    for names, times in (
        (("EchoTime", "GADGETRON_TE"), header.echo_times_ms),
        (("InversionTime", "GADGETRON_TI"), header.inversion_times_ms),
    ):
        time = of_contrast(times, contrast)
        if time is not None:
            for name in names:
                meta[name] = time


def _direction(direction: Sequence[float]) -> list[str]:
    return [f"{part:.18f}" for part in direction]


def _ascii_text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}"
    text = str(value).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def meta_values(meta: Mapping[str, Any], *names: str) -> list[str]:
    """Return the values of the first of these names that the metadata have."""
    for name in names:
        found = meta.get(name)
        if found:
            return [str(one) for one in found] if isinstance(found, list) else [str(found)]
    return []
