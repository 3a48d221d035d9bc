"""What a reconstruction gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gadget.diffusion.volume import Details


@dataclass(frozen=True)
class Reconstruction:
    """An image and how it was reconstructed."""

    image: NDArray[np.complex64]
    """Combined complex image `[z, y, x]` on the k-space grid, in the scale of the data."""
    std: NDArray[np.float32] | None
    """Posterior standard deviation of the magnitude `[z, y, x]`; absent for a single sample."""
    method: str
    """Method that was used; another one than asked for after a failure."""
    fallback: str | None = None
    """Why another method was used."""
    details: Details = field(default_factory=dict)
    """Steps, evaluations, seed, acceleration, model, seconds: for the image's metadata."""

    def with_details(self, **details: float) -> Reconstruction:
        """Return the same image with further details."""
        return replace(self, details={**self.details, **details})

    @property
    def summary(self) -> str:
        """One line for a log."""
        entries = {"method": self.method, **self.details, "fallback": self.fallback}
        return ", ".join(f"{k} {_shown(v)}" for k, v in entries.items() if v is not None)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
