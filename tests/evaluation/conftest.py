from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from gadget.evaluation.cases import Case, Receiver, simulated_case
from gadget.evaluation.methods.method import Estimate
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import ifftc


class Fixed:
    """A method that makes what a function says of the zero-filled image."""

    def __init__(self, name: str, *images: Callable[[NDArray], NDArray], std=None) -> None:
        self.name = name
        self.label = name.replace("-", " ")
        self.images = images
        self.std = std
        self.calls = 0

    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        started = time.monotonic()
        for number, change in enumerate(self.images):
            self.calls += 1
            image = np.sqrt((np.abs(ifftc(kspace.data[:, 0])) ** 2).sum(0))
            image = np.asarray(change(image), np.float32)
            std = self.std(image) if self.std else None
            yield Estimate(image, time.monotonic() - started, str(number), std)


@pytest.fixture
def fixed():
    return Fixed


@pytest.fixture(scope="session")
def case(phantom) -> Case:
    """A head of 48 x 40 pixels, with four coils and 1% noise."""
    return simulated_case("head", 0, phantom((48, 40)), Receiver(coils=4))
