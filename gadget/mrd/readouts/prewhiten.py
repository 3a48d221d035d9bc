"""Noise prewhitening of a stream of readouts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import ismrmrd
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gadget.errors import ReconError
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import header_of, with_samples
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.mrd.readouts.dead_coils import DeadCoils
from gadget.mrd.xml_header.header import Header
from gadget.mri.noise.whitening import (
    NoiseCovariance,
    bandwidth_scale,
    edge_covariance,
    whitening_matrix,
)

log = logging.getLogger(__name__)

Item = TypeVar("Item", bound=Any)
"""A readout or something else of a stream."""

NOISE_ESTIMATION_READOUTS = 32
"""Readouts that are buffered to estimate the noise from, where there is no noise scan."""


def limit_blas_threads() -> None:
    """Let numpy's matrix products use one thread, in this process and from now on.

    A readout is too small to share among threads: others would only spin, and take a processor from
    what follows.
    """
    threadpool_limits(1, "blas")


class Prewhitener:
    """Makes the noise of readouts white with unit variance: E|n|^2 = 1, uncorrelated coils.

    Noise readouts before the first other readout give the covariance and are dropped, as are later
    ones. Without any, the ends of the first readouts do.
    """

    def __init__(self, header: Header) -> None:
        self._bandwidth = header.relative_noise_bandwidth
        self._noise: dict[int, NoiseCovariance] = {}
        self._dwell = 0.0
        self._matrices: dict[int, NDArray[np.complex64] | None] = {}
        self._pending: list[ismrmrd.Acquisition] = []
        self._dead_coils = DeadCoils(log.warning)

    def whiten(self, items: Iterable[Item]) -> Iterator[Item | ReadoutBlock]:
        """Yield the readouts of a scan whitened, in their order, and all else as it comes.

        Readouts may come in blocks. See `add`.

        Raises
        ------
        ReconError
            What `items` raises; after the readouts of all that arrived.
        """
        try:
            for item in items:
                if isinstance(item, ismrmrd.Acquisition):
                    yield from self.add(item)
                elif isinstance(item, ReadoutBlock):
                    yield from self._add_block(item)
                else:
                    yield item
        except ReconError:
            yield from self.finish()
            raise
        yield from self.finish()

    def add(self, acquisition: ismrmrd.Acquisition) -> list[ismrmrd.Acquisition]:
        """Add a readout; return those that are whitened, in their order.

        One without coils, or with another number of them than the noise scan, stays as it is.
        """
        # Whitening would mix what is no number into other coils.
        acquisition = self._dead_coils.silence(acquisition)
        header = header_of(acquisition)
        if header.flags & flags.NOISE:
            self._add_noise(acquisition)
            return []
        known = self._noise or header.active_channels in self._matrices
        if known or (header.flags & flags.NOT_IMAGE and not self._pending):
            return [*self._whiten_pending(), self._whiten(acquisition, [acquisition])]
        self._pending.append(acquisition)
        if len(self._pending) >= NOISE_ESTIMATION_READOUTS or header.flags & flags.LAST_IN_BUFFER:
            return self._whiten_pending()
        return []

    def _add_block(self, block: ReadoutBlock) -> Sequence[ReadoutBlock | ismrmrd.Acquisition]:
        """Whiten a block as a whole, unless its readouts have to be looked at one by one."""
        header = block.headers[0]
        known = header.active_channels in self._matrices and self._dead_coils.has_none(header)
        if not known or self._pending or header.flags & flags.NOT_IMAGE:
            return [white for readout in block for white in self.add(readout)]
        matrix = self._matrix(header)
        return [block if matrix is None else block.with_samples(_product(matrix, block.samples))]

    def finish(self) -> list[ismrmrd.Acquisition]:
        """Return the readouts that are still buffered."""
        return self._whiten_pending()

    def _add_noise(self, acquisition: ismrmrd.Acquisition) -> None:
        header = header_of(acquisition)
        coils = header.active_channels
        if coils in self._matrices:
            log.debug("A noise readout after the first data is not used.")
            return
        noise = acquisition.data[:, header.discard_pre : _end_of_valid(header)]
        if not noise.size:
            log.warning("A noise readout holds no sample; it is not used.")
            return
        if not np.isfinite(noise).all():
            log.warning("A noise readout holds samples that are not finite; it is not used.")
            return
        dwell = float(header.sample_time_us)
        self._dwell = self._dwell or dwell
        covariance = self._noise.setdefault(coils, NoiseCovariance(coils))
        covariance.add(noise / bandwidth_scale(dwell, self._dwell, None))

    def _whiten_pending(self) -> list[ismrmrd.Acquisition]:
        """Whiten the buffered readouts, with the noise scan or with their own noise."""
        pending, self._pending = self._pending, []
        return [self._whiten(acquisition, pending) for acquisition in pending]

    def _whiten(
        self, acquisition: ismrmrd.Acquisition, pending: list[ismrmrd.Acquisition]
    ) -> ismrmrd.Acquisition:
        header = header_of(acquisition)
        if header.flags & flags.NOT_IMAGE or not header.active_channels:
            return acquisition
        self._prepare(header, pending)
        matrix = self._matrix(header)
        if matrix is None:
            return acquisition
        return with_samples(acquisition, _product(matrix, acquisition.data))

    def _matrix(self, header: ismrmrd.AcquisitionHeader) -> NDArray[np.complex64] | None:
        """Return the whitening matrix of readouts like it, scaled to their bandwidth."""
        matrix = self._matrices[header.active_channels]
        if matrix is None or not self._noise:
            return matrix
        dwell = float(header.sample_time_us)
        return matrix * np.float32(bandwidth_scale(self._dwell, dwell, self._bandwidth))

    def _prepare(
        self, header: ismrmrd.AcquisitionHeader, pending: list[ismrmrd.Acquisition]
    ) -> None:
        """Make the whitening matrix for that number of coils."""
        coils = header.active_channels
        if coils in self._matrices:
            return
        covariance = self._noise.get(coils)
        if covariance is None and self._noise:
            log.warning(
                "Readout %d has %d coils, but the noise scan has %s: readouts like it stay "
                "unwhitened.",
                header.scan_counter,
                coils,
                " and ".join(map(str, sorted(self._noise))),
            )
        elif covariance is None:
            covariance = _estimate([one for one in pending if one.active_channels == coils])
        self._matrices[coils] = whitening_matrix(covariance) if covariance is not None else None


@np.errstate(invalid="ignore", over="ignore")  # of damaged samples: they stay so
def _product(
    matrix: NDArray[np.complex64], samples: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Return a matrix times samples `[..., coil, kx]`."""
    return np.asarray(matrix @ samples)


def _end_of_valid(header: ismrmrd.AcquisitionHeader) -> int:
    """Return the end of the valid samples."""
    return max(0, int(header.number_of_samples - header.discard_post))


def _estimate(pending: list[ismrmrd.Acquisition]) -> NoiseCovariance | None:
    """Estimate the noise of image readouts from their ends."""
    readouts = [
        one.data[:, one.discard_pre : _end_of_valid(header_of(one))]
        for one in pending
        if not header_of(one).flags & flags.NOT_IMAGE and np.isfinite(one.data).all()
    ]
    covariance = edge_covariance(readouts)
    if covariance is None:
        log.warning(
            "There is no noise scan, and the edge of k-space holds too little data or more signal "
            "than noise: the data stay unwhitened."
        )
    else:
        log.warning("There is no noise scan: the noise is estimated from the edge of k-space.")
    return covariance
