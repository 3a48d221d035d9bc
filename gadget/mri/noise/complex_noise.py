"""Random complex noise."""

from __future__ import annotations

import torch
from torch import Tensor


def complex_noise(
    shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Draw noise of standard deviation 1 in the real and in the imaginary part.

    Drawn on the CPU, so that one seed gives one noise on every device.
    """
    # From pinned memory, or the device would have to finish all that it was told before.
    pairs = torch.randn(*shape, 2, generator=generator, pin_memory=device.type == "cuda")
    return torch.view_as_complex(pairs).to(device, non_blocking=True)
