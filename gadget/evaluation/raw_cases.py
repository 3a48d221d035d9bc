"""Fully sampled slices of raw data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.evaluation.cases import Case, central_slices, check_comparable, usable_cases
from gadget.mrd.buffers.buffer import Buffer
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.prewhiten import Prewhitener
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.operators.fourier import ifftc
from gadget.mri.planes import Plane, split_planes
from gadget.mri.sampling.centre import central


def raw_cases(path: Path, slices: int) -> Iterator[Case]:
    """Yield `slices` slices of raw data, spread over their middle half: of each its first image.

    Those that cannot be used are named in the log, and left out.

    Raises
    ------
    ConfigError, DataError
        The file cannot be read, or not one of these slices can be used: its scan is undersampled
        already.
    """
    with RawFile(path) as file:
        yield from usable_cases(str(path), _slices(file, slices))


def buffers(
    file: RawFile, wanted: Callable[[ismrmrd.Acquisition], bool] = lambda _: True
) -> Iterator[Buffer]:
    """Yield the whitened buffers of a file, of the readouts that are wanted."""
    header = parse_header(file.header_xml)
    readouts = (one for one in file.acquisitions() if one.flags & flags.NOISE or wanted(one))
    return Gatherer(header).gather(Prewhitener(header).whiten(readouts))


def _slices(file: RawFile, slices: int) -> Iterator[Callable[[], Case]]:
    """Yield what makes the cases: of 2D slices, or of some partitions of volumes."""
    numbers = _slice_numbers(file)
    wanted = {numbers[index] for index in central_slices(len(numbers), slices)}
    found: set[int] = set()
    for buffer in buffers(file, lambda one: one.idx.slice in wanted):
        number = int(buffer.reference.idx.slice)
        if number in found:
            continue
        found.add(number)
        planes = list(split_planes(buffer.kspace))
        for index in central_slices(len(planes), slices):
            # Of several slabs, each goes on counting where the one before ends.
            shown = number * len(planes) + index
            yield partial(_case, file.path, shown, buffer, planes[index])


def _slice_numbers(file: RawFile) -> list[int]:
    """Return the numbers of the slices that were measured; headers may count more of them."""
    found: set[int] = set()
    for headers, *_ in file.readouts():
        images = headers["flags"] & flags.NOT_IMAGE == 0
        found.update(headers["idx"]["slice"][images].tolist())
    return sorted(found)


def _case(path: Path, number: int, buffer: Buffer, plane: Plane) -> Case:
    measured = plane.weight > 0
    if not _fully_sampled(measured):
        raise DataError(
            f"'{path}' is undersampled: slice {number} misses lines between its first and its "
            "last one. Only complete scans show what should have come out."
        )
    images = ifftc(plane.data)
    window = _window(buffer, plane)
    truth = np.sqrt((np.abs(images[:, window[0], window[1]]) ** 2).sum(0))
    check_comparable(path.name, number, truth)
    return Case(
        name=path.name,
        number=number,
        kspace=plane.data,
        measured=measured,
        truth=truth.astype(np.float32),
        window=window,
    )


def _fully_sampled(measured: NDArray[np.bool_]) -> bool:
    """Whether every point within the measured rectangle was measured."""
    rows, columns = (np.flatnonzero(measured.any(axis=axis)) for axis in (1, 0))
    return bool(measured[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


def _window(buffer: Buffer, plane: Plane) -> tuple[slice, slice]:
    """Return the recon field of view on a plane's grid: images are compared where they show."""
    recon, covered = buffer.encoding.recon.field_of_view_mm, buffer.field_of_view
    shape = plane.weight.shape

    def along(axis: int, direction: int) -> slice:
        share = recon[direction] / covered[direction] if covered[direction] else 1.0
        return central(shape[axis], round(shape[axis] * share))

    # Volumes of which not all partitions are alike were split along the readout.
    rows, columns = (1, 0) if len(plane.index) == 1 else (2, 1)
    return along(0, rows), along(1, columns)
