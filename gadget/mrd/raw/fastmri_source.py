"""Raw data of the fastMRI dataset as readouts.

A file holds `kspace` `[slice, coil, readout, line]`, without the coils in the single-coil tracks,
`ismrmrd_header` and, where the lines are a selection, `mask` `[line]`. Lines that the scanner did
not measure are zeros: those outside the encoding limits, and those that the mask leaves out.
`reconstruction_rss` `[slice, readout, line]` is the root sum of squares of the inverse transform,
cut to the middle; ISMRMRD's images `[y, x]` are that transposed.

The files do not tell where slices lie: they are put side by side, one slice thickness apart.

Source: Zbontar et al., fastMRI: an open dataset and benchmarks for accelerated MRI, 2018,
arXiv:1811.08839, and the data loader of facebookresearch/fastMRI.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError, reason
from gadget.mrd.raw.raw_source import Readouts, TimedMessage, read_text
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.mrd.xml_header.elements import find, header_root
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mrd.xml_header.schema import NAMESPACE

log = logging.getLogger(__name__)

KSPACE, HEADER, MASK = "kspace", "ismrmrd_header", "mask"


class Shape(NamedTuple):
    """Sizes of the k-space in a file."""

    slices: int
    coils: int
    readout: int
    lines: int


class FastMriSource:
    """The k-space of a fastMRI file.

    Parameters
    ----------
    file
        Open file.
    path
        Name of the file, for errors.

    Raises
    ------
    DataError
        The header is missing, k-space or mask have the wrong shape, or no line was measured.
    """

    format = "fastMRI"
    group = KSPACE
    number_of_waveforms = 0

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._path = path
        self._kspace = file[KSPACE]
        self._shape = self._checked_shape()
        header = read_text(file.get(HEADER))
        if not header:
            raise DataError(
                f"'{path}' has no header: '{HEADER}' is missing or empty, so nothing is known "
                "about the measurement. Download the file again."
            )
        self.header_xml = corrected_header(header, self._shape, path)
        self._encoding = parse_header(self.header_xml).encodings[0]
        limit = self._encoding.limits.get("kspace_encoding_step_1")
        self._first = 0 if limit is None else self._shape.lines // 2 - limit.center
        counter = np.arange(self._shape.lines) - self._first
        measured = self._selected(file.get(MASK)) & self._not_zero()
        if limit is not None:
            measured &= (counter >= limit.minimum) & (counter <= limit.maximum)
        self._lines = np.flatnonzero(measured)
        if not self._lines.size:
            raise DataError(f"'{path}' holds no measured line: k-space or mask is all zero.")
        self.number_of_acquisitions = self._shape.slices * self._lines.size

    def readouts(self) -> Iterator[Readouts]:
        """Yield the lines slice by slice."""
        for number in range(self._shape.slices):
            kspace = self._read(number)[..., self._lines]
            samples = np.ascontiguousarray(np.moveaxis(kspace, -1, 0), np.complex64)
            flat = samples.reshape(len(samples), -1).view(np.float32)
            trajectories = np.zeros((len(samples), 0), np.float32)
            yield Readouts(self._heads(number), trajectories, flat)

    def waveforms(self) -> Iterator[TimedMessage]:
        """Yield nothing: the format has no waveforms."""
        return iter(())

    def _checked_shape(self) -> Shape:
        shape = self._kspace.shape
        if len(shape) not in (3, 4) or 0 in shape or self._kspace.dtype.kind != "c":
            raise DataError(
                f"'{KSPACE}' in '{self._path}' must be complex [slice, coil, readout, line] or "
                f"[slice, readout, line], got {list(shape)} of {self._kspace.dtype}."
            )
        return Shape(shape[0], shape[1] if len(shape) == 4 else 1, *shape[-2:])

    def _selected(self, mask: h5py.Dataset | None) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self._shape.lines, bool)
        if mask.size != self._shape.lines:
            raise DataError(
                f"'{MASK}' in '{self._path}' must have a value for each of the "
                f"{self._shape.lines} lines, got {list(mask.shape)}."
            )
        return np.asarray(mask[()]).ravel() != 0

    def _not_zero(self) -> NDArray[np.bool_]:
        """Return which lines are not all zero: measured lines have noise at least."""
        count = self._shape.slices
        # The middle slice tells at once, unless it is an empty one.
        for number in sorted(range(count), key=lambda number: abs(number - count // 2)):
            found = np.asarray((self._read(number) != 0).any(axis=(0, 1)))
            if found.any():
                return found
        return found

    def _read(self, number: int) -> NDArray[np.complex64]:
        """Return a slice `[coil, readout, line]`."""
        try:
            kspace: NDArray[np.complex64] = self._kspace[number]
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"Slice {number} of '{self._path}' cannot be read: {reason(error)}. "
                "The file is damaged or cut short."
            ) from error
        return kspace.reshape(self._shape[1:])

    def _heads(self, number: int) -> NDArray[np.void]:
        shape, lines = self._shape, self._lines
        heads = np.zeros(lines.size, HEADER_DTYPE)
        heads["version"] = 1
        heads["scan_counter"] = number * lines.size + np.arange(lines.size)
        heads["active_channels"] = heads["available_channels"] = shape.coils
        heads["number_of_samples"] = shape.readout
        heads["center_sample"] = shape.readout // 2
        for name, direction in zip(("read_dir", "phase_dir", "slice_dir"), np.eye(3), strict=True):
            heads[name] = direction
        recon = self._encoding.recon
        thickness = recon.field_of_view_mm[2] / recon.matrix[2] or 1.0
        heads["position"] = (0, 0, (number - (shape.slices - 1) / 2) * thickness)
        heads["idx"]["slice"] = number
        heads["idx"]["kspace_encode_step_1"] = lines - self._first
        heads["flags"][-1] = flags.bits(ismrmrd.ACQ_LAST_IN_SLICE)
        if number == shape.slices - 1:
            heads["flags"][-1] |= flags.LAST_IN_MEASUREMENT
        return heads


def is_fastmri(file: h5py.File) -> bool:
    """Whether a file has the layout of the fastMRI dataset."""
    return isinstance(file.get(KSPACE), h5py.Dataset) and file[KSPACE].ndim >= 3


def corrected_header(xml: bytes, shape: Shape, path: Path) -> bytes:
    """Return the header with its sizes corrected to those of the data.

    Many headers describe more slices, or more coils, than the file holds. The field of view stays
    where the matrix has to change: lines are one over the field of view apart.

    Raises
    ------
    DataError
        The text is no header, or readouts and lines are interchanged.
    """
    matrix = parse_header(xml).encodings[0].encoded.matrix
    sizes = (shape.readout, shape.lines)
    if matrix[:2] != sizes and matrix[1::-1] == sizes:
        raise DataError(
            f"'{KSPACE}' in '{path}' is {sizes[0]} x {sizes[1]}, and the header describes readouts "
            f"of {matrix[0]} and {matrix[1]} lines: the last two axes are interchanged."
        )
    root = header_root(xml)
    encoded = ("encoding", "encodedSpace", "matrixSize")
    limits = ("encoding", "encodingLimits")
    wanted = {
        (*encoded, "x"): shape.readout,
        (*encoded, "y"): shape.lines,
        (*limits, "slice", "maximum"): shape.slices - 1,
        ("acquisitionSystemInformation", "receiverChannels"): shape.coils,
    }
    changed = [name for name, value in wanted.items() if _set(root, name, value)]
    if not changed:
        return xml
    log.info(
        "%s: %s in the header did not fit the data.",
        path,
        " and ".join("/".join(name) for name in changed),
    )
    ElementTree.register_namespace("", NAMESPACE)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _set(root: ElementTree.Element, name: tuple[str, ...], value: int) -> bool:
    """Set a number that the header has; return whether that changed it."""
    node = find(root, *name)
    if node is None or (node.text or "").strip() == str(value):
        return False
    node.text = str(value)
    return True
