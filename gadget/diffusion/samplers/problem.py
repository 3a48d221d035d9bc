"""The problem that samplers solve, and their result."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.operators.sense import SamplingOperator, SenseOperator


@dataclass(frozen=True)
class Problem:
    """One 2D image to reconstruct, in the prior's units: bright tissue is near 1."""

    data: Tensor
    """Measured data `[coil, ky, kx]`, in the range of `sampling`."""
    sampling: SamplingOperator
    coils: CoilModel
    """Initial estimate of the coil sensitivities."""
    initial_image: Tensor
    """The conventional image `[y, x]` with these sensitivities, on their field of view."""
    noise_std: float
    """Standard deviation of the receiver noise in the real and in the imaginary part."""
    centre_sampled: bool = True
    """Whether the centre of its k-space is complete. Otherwise fitting the sensitivities to an
    image does not improve them: errors of the image become errors of the sensitivities."""

    @property
    def shape(self) -> tuple[int, int]:
        """Matrix (y, x) of the image, which may reach beyond the field of view."""
        return self.coils.shape

    def conventional_image(self) -> Tensor:
        """Return the initial image within the field of view `[y, x]`."""
        operator = SenseOperator(self.sampling, self.coils.maps)
        return operator.within_field_of_view(self.initial_image)


@dataclass(frozen=True)
class SamplerResult:
    """Result of a sampler."""

    images: Tensor
    """Combined complex images `[sample, y, x]` within the field of view, in the prior's units."""
    evaluations: int
    """Network evaluations of one complex image that one sample took."""
    residual: float | None = None
    """Root mean square of what the images leave of the measured data, in units of the noise: 1
    where only noise is left. Coil images, which have no model of the coils, have none."""
