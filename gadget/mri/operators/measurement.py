"""One plane of k-space, as it was measured and as operators see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from gadget.mri.operators.sense import SamplingOperator


@dataclass(frozen=True)
class Measurement:
    """Measured samples of every coil, and where they lie."""

    kspace: Tensor
    """Centred samples `[coil, ky, kx]`, 0 where not measured."""
    mask: Tensor
    """Measured points `[ky, kx]`."""

    @cached_property
    def sampling(self) -> SamplingOperator:
        """What takes coil images to measured data."""
        return SamplingOperator(self.mask)

    @cached_property
    def data(self) -> Tensor:
        """The measured data `[coil, ky, kx]` in the range of `sampling`."""
        return self.sampling.hybrid(self.kspace)
