"""Distributed training: several processes, a GPU each, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

TIMEOUT = timedelta(hours=4)
"""How long the others wait while the first process packs the images."""


@dataclass(frozen=True)
class Ranks:
    """Rank of this process and number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which alone writes and reports."""
        return self.rank == 0

    def data_parallel(self, model: nn.Module) -> nn.Module:
        """Return the model with its gradients averaged over all processes."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model)

    def mean(self, value: Tensor) -> float:
        """Return the mean of `value` over all processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return float(value) / self.size

    def any(self, value: bool, device: torch.device) -> bool:
        """Return whether `value` is true in any process."""
        if self.size == 1:
            return value
        return self.mean(torch.tensor(float(value), device=device)) > 0

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def local_device(device: torch.device) -> torch.device:
    """Return this process's own GPU where `torchrun` started several processes."""
    if device == torch.device("cuda") and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started; without it, this one is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    yield Ranks(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()
