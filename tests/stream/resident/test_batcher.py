from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gadget.diffusion.progress import no_progress
from gadget.errors import DataError
from gadget.mri.kspace import KSpace
from gadget.stream.resident.batcher import Batcher


class Recorder:
    """Takes at most three buffers at once, and returns the first sample of each."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.batches: list[int] = []

    def batch_size(self, kspace):
        return 3

    def reconstruct_batch(self, kspaces, progress):
        self.batches.append(len(kspaces))
        if self.failure is not None:
            raise self.failure
        return [SimpleNamespace(image=kspace.data.flat[0]) for kspace in kspaces]

    def reconstruct(self, kspace, progress):
        self.batches.append(1)
        if np.isnan(kspace.data).any():
            raise DataError("not a number")
        return SimpleNamespace(image=kspace.data.flat[0])


def _kspace(number: float, size: int = 4) -> KSpace:
    data = np.full((1, 1, size, size), number, np.complex64)
    return KSpace(data, np.ones((1, size, size), np.float32))


def test_as_many_as_wait_and_fit():
    recorder = Recorder()
    batcher = Batcher(recorder)
    batcher.add(1, _kspace(1))
    assert batcher.result(1, no_progress).image == 1
    for number in range(2, 9):
        batcher.add(number, _kspace(number))
    assert [batcher.result(n, no_progress).image for n in range(2, 9)] == list(range(2, 9))
    assert recorder.batches == [1, 3, 3, 1]


def test_only_buffers_of_one_size_go_together():
    recorder = Recorder()
    batcher = Batcher(recorder)
    for number, size in enumerate([4, 4, 6, 4]):
        batcher.add(number, _kspace(number, size))
    assert [batcher.result(n, no_progress).image for n in range(4)] == [0, 1, 2, 3]
    assert recorder.batches == [2, 1, 1]


def test_what_failed_together_is_tried_alone_when_its_turn_comes(caplog):
    recorder = Recorder(MemoryError("too much"))
    batcher = Batcher(recorder)
    for number, value in enumerate([0, np.nan, 2]):
        batcher.add(number, _kspace(value))
    assert batcher.result(0, no_progress).image == 0
    with pytest.raises(DataError, match="not a number"):
        batcher.result(1, no_progress)
    assert batcher.result(2, no_progress).image == 2
    assert recorder.batches == [3, 1, 1, 1]
    assert "3 images at once failed: too much" in caplog.text
