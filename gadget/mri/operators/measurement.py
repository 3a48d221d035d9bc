"""Measured k-space of one plane, with its sampling operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from gadget.mri.operators.field_of_view import FieldOfView
from gadget.mri.operators.sense import SamplingOperator
from gadget.mri.sampling.centre import has_centre


@dataclass(frozen=True)
class Measurement:
    """Multi-coil k-space samples and their sampling mask."""

    kspace: Tensor
    """Centred samples `[coil, ky, kx]`, 0 where not measured."""
    mask: Tensor
    """Measured points `[ky, kx]`."""
    field_of_view: FieldOfView | None = None
    """Of the images, where it is not just the mask's matrix."""

    @cached_property
    def centre_sampled(self) -> bool:
        """Whether the centre of k-space is complete."""
        return has_centre(self.mask)

    @cached_property
    def sampling(self) -> SamplingOperator:
        """Maps coil images to measured data."""
        return SamplingOperator(self.mask, self.field_of_view)

    @cached_property
    def data(self) -> Tensor:
        """The measured data `[coil, ky, kx]` in the range of `sampling`."""
        return self.sampling.to_hybrid(self.kspace)
