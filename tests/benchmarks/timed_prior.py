"""What the benchmarks measure a network with."""

from __future__ import annotations

import time

import torch

from gadget.diffusion.prior import Prior
from gadget.evaluation.methods.with_score_gadget import CountingPrior


class TimedPrior(CountingPrior):
    """A prior that counts and times its evaluations of complex images."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.seconds = 0.0

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        started = now(self.device)
        result = super().denoise(x, sigma)
        self.seconds += now(self.device) - started
        return result


def now(device: torch.device) -> float:
    """Seconds, once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
