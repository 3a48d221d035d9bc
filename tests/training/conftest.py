from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.diffusion.networks.unet import UNetConfig
from gadget.training.config import TrainingConfig
from gadget.training.trainer import Trainer


@pytest.fixture(scope="session")
def volumes(phantom):
    """Two volumes, of one and of two slices."""
    return [[phantom((64, 72)).astype(np.float16)], [phantom((80, 64)).astype(np.float16)] * 2]


@pytest.fixture(scope="session")
def make_config():
    """Makes a recipe of seconds, with any values changed."""

    def make(**changed) -> TrainingConfig:
        values = {
            "name": "tiny",
            "network": UNetConfig(widths=(8, 8), blocks=1, patch=2, embedding=8),
            "steps": 12,
            "batch": 2,
            "patch": 16,
            "warmup": 3,
            "learning_rate": 2e-3,
        }
        return TrainingConfig(**(values | changed))

    return make


@pytest.fixture
def make_trainer(make_config):
    """Makes a trainer of such a recipe on the CPU."""

    def make(**changed) -> Trainer:
        return Trainer(make_config(**changed), torch.device("cpu"))

    return make


@pytest.fixture(scope="session")
def assert_same():
    """Compares two trainers bit by bit."""

    def state(trainer: Trainer) -> dict[str, torch.Tensor]:
        moments = trainer.optimizer.state_dict()["state"]
        return {
            **trainer.denoiser.state_dict(),
            **{f"average.{name}": value for name, value in trainer.average.items()},
            **{f"{k}.{name}": v for k, one in moments.items() for name, v in one.items()},
        }

    def compare(one: Trainer, other: Trainer) -> None:
        ours, theirs = state(one), state(other)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name

    return compare
