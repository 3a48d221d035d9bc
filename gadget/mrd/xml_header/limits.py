"""Limits of the encoding counters."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace

from gadget.mrd.xml_header.elements import find, local_name, text, to_integer


@dataclass(frozen=True)
class Limit:
    """First, last and central value of an encoding counter."""

    minimum: int
    maximum: int
    center: int

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.maximum - self.minimum + 1


def read_limits(node: ElementTree.Element) -> dict[str, Limit]:
    """Return the limits of an encoding by the schema's names, without those that are not told."""
    section = find(node, "encodingLimits")
    found: dict[str, Limit] = {}
    for child in section if section is not None else ():
        low, high = to_integer(text(child, "minimum")), to_integer(text(child, "maximum"))
        if low is None or high is None:
            continue
        center = to_integer(text(child, "center"))
        found[local_name(child)] = Limit(
            low, high, (low + high + 1) // 2 if center is None else center
        )
    return found


def centred(limit: Limit, size: int) -> Limit:
    """Return limits that span the whole matrix with its middle as centre, if that is beside theirs.

    Converters round it in several ways, of which only one has a place for the outermost line.
    """
    middle = limit.minimum + size // 2
    whole = size > 1 and limit.count == size
    return replace(limit, center=middle) if whole and abs(limit.center - middle) == 1 else limit
