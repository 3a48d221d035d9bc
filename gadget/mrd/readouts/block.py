"""Readouts that are processed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.readouts.acquisition import header_of


@dataclass(frozen=True)
class ReadoutBlock:
    """Readouts in a row of one kind, see `header_kind`, without trajectories.

    What has to be done is found out once, and done for all of them at once. Where each is looked
    at on its own, iterating yields them as acquisitions.
    """

    headers: Sequence[ismrmrd.AcquisitionHeader]
    """That of each readout, to be read only."""
    samples: NDArray[np.complex64]
    """`[readout, coil, kx]`."""

    @classmethod
    def of(cls, acquisitions: Sequence[ismrmrd.Acquisition]) -> ReadoutBlock:
        """Return the block of one or more acquisitions; of one it shares the samples."""
        samples = [one.data for one in acquisitions]
        headers = [header_of(one) for one in acquisitions]
        return cls(headers, samples[0][np.newaxis] if len(samples) == 1 else np.stack(samples))

    def __len__(self) -> int:
        return len(self.headers)

    def __iter__(self) -> Iterator[ismrmrd.Acquisition]:
        return map(ismrmrd.Acquisition, self.headers, self.samples)

    def since(self, readout: int) -> ReadoutBlock:
        """Return the block without the readouts before one of them."""
        return ReadoutBlock(self.headers[readout:], self.samples[readout:])

    def with_samples(self, samples: NDArray[np.complex64]) -> ReadoutBlock:
        """Return the block with other samples of the same shape."""
        return ReadoutBlock(self.headers, samples)
