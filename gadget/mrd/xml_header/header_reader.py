"""Reading of the ISMRMRD XML header, whatever unknown elements it has.

The generated classes of ismrmrd stop at the first unknown element, and vendors add elements. Here
the few fields that a reconstruction needs are read and checked.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

from gadget.errors import DataError
from gadget.mrd.xml_header.elements import (
    children,
    find,
    header_root,
    text,
    to_integer,
    to_number,
    user_parameter,
)
from gadget.mrd.xml_header.header import CARTESIAN, Encoding, Header, Space
from gadget.mrd.xml_header.limits import Limit, centred, read_limits

MAX_MATRIX = 65535
MAX_POINTS = 2**31
ECHO_PLANAR = "ConventionalEPI"
"""`trajectoryDescription` of what Siemens' converter calls Cartesian, too."""


def parse_header(xml: bytes) -> Header:
    """Read the XML header.

    Raises
    ------
    DataError
        The text is not an ISMRMRD header, describes no encoding, or one that cannot be
        reconstructed: not Cartesian, or with impossible matrix sizes or fields of view.
    """
    root = header_root(xml)
    volume = user_parameter(root, "mrAcquisitionType") == "3D"
    nodes = enumerate(children(root, "encoding"))
    encodings = tuple(_encoding(node, i, volume=volume) for i, node in nodes)
    if not encodings:
        raise DataError(
            "The ISMRMRD header has no <encoding>, so neither matrix size nor field of view is "
            "known. Convert the raw data again with a complete header."
        )
    if not any(encoding.trajectory == CARTESIAN for encoding in encodings):
        encodings[0].require_cartesian(0)
    return Header(
        encodings=encodings,
        relative_noise_bandwidth=_positive(
            text(root, "acquisitionSystemInformation", "relativeReceiverNoiseBandwidth")
        ),
        receiver_channels=to_integer(
            text(root, "acquisitionSystemInformation", "receiverChannels")
        ),
        protocol_name=text(root, "measurementInformation", "protocolName"),
        series_description=text(root, "measurementInformation", "seriesDescription"),
        measurement_id=text(root, "measurementInformation", "measurementID"),
        echo_times_ms=_times(root, "TE"),
        inversion_times_ms=_times(root, "TI"),
    )


def _encoding(node: ElementTree.Element, index: int, *, volume: bool) -> Encoding:
    encoded = _space(node, "encodedSpace", index)
    recon = _space(node, "reconSpace", index) if children(node, "reconSpace") else encoded
    limits = read_limits(node)
    stack = _is_stack(encoded, limits)
    if stack:
        encoded, recon = _slice_of(encoded), _slice_of(recon)
    for axis in (1, 2):
        name = f"kspace_encoding_step_{axis}"
        if name in limits:
            limits[name] = centred(limits[name], encoded.matrix[axis])
    factor = ("parallelImaging", "accelerationFactor")
    return Encoding(
        encoded=encoded,
        recon=recon,
        limits=limits,
        trajectory=(text(node, "trajectory") or CARTESIAN).lower(),
        acceleration=(
            to_integer(text(node, *factor, "kspace_encoding_step_1")) or 1,
            to_integer(text(node, *factor, "kspace_encoding_step_2")) or 1,
        ),
        calibration_mode=(text(node, "parallelImaging", "calibrationMode") or "").lower() or None,
        echo_planar=text(node, "trajectoryDescription", "identifier") == ECHO_PLANAR,
        partitions_as_slices=stack and volume,
    )


def _is_stack(encoded: Space, limits: dict[str, Limit]) -> bool:
    """Whether z of the matrix is the number of slices of a 2D scan, as some converters write it."""
    partition, slices = limits.get("kspace_encoding_step_2"), limits.get("slice")
    if encoded.matrix[2] == 1 or slices is None:
        return False
    if partition is None:
        return slices.count == encoded.matrix[2]
    return partition.minimum == partition.maximum and slices.maximum > slices.minimum


def _slice_of(stack: Space) -> Space:
    (nx, ny, nz), (x, y, z) = stack.matrix, stack.field_of_view_mm
    return Space((nx, ny, 1), (x, y, z / nz))


def _space(node: ElementTree.Element, name: str, index: int) -> Space:
    where = f"<{name}> of encoding {index}"
    sizes = [to_integer(text(node, name, "matrixSize", axis)) for axis in "xyz"]
    lengths = [to_number(text(node, name, "fieldOfView_mm", axis)) for axis in "xyz"]
    known = [size for size in sizes if size is not None and 1 <= size <= MAX_MATRIX]
    if len(known) < 3 or math.prod(known) > MAX_POINTS:
        raise DataError(
            f"The matrix size in {where} must be three numbers from 1 to {MAX_MATRIX} with at most "
            f"{MAX_POINTS} points together, got {_listed(sizes)}. Correct the header."
        )
    extents = [length for length in lengths if length is not None and length >= 0]
    if len(extents) < 3 or extents[0] == 0 or extents[1] == 0:
        raise DataError(
            f"The field of view in {where} must be three lengths in mm above 0, got "
            f"{_listed(lengths)}. Correct the header."
        )
    return Space((known[0], known[1], known[2]), (extents[0], extents[1], extents[2]))


def _times(root: ElementTree.Element, name: str) -> tuple[float, ...]:
    section = find(root, "sequenceParameters")
    nodes = children(section, name) if section is not None else []
    values = (to_number((node.text or "").strip()) for node in nodes)
    return tuple(value for value in values if value is not None)


def _listed(values: list[int | None] | list[float | None]) -> str:
    return " x ".join("nothing" if value is None else f"{value:g}" for value in values)


def _positive(value: str | None) -> float | None:
    found = to_number(value)
    return found if found is not None and found > 0 else None
