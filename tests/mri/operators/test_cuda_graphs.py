from __future__ import annotations

import pytest
import torch

from gadget.mri.operators.cuda_graphs import MAX_GRAPHS, GraphedFunction, RepeatedStep

CPU = torch.device("cpu")


def _halve(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.fft.ifft2(torch.fft.fft2(x) * 0.5) + other


def test_a_cpu_calls_the_function_itself():
    calls = []

    def function(x):
        calls.append(x)
        return x + 1

    replayed = GraphedFunction(function)
    assert [float(replayed(torch.tensor(float(i)))) for i in range(5)] == [1, 2, 3, 4, 5]
    assert len(calls) == 5


def test_steps_end_early_when_there_is_nothing_left_to_do():
    count = torch.zeros(())
    repeat = RepeatedStep()
    repeat(lambda: count.add_(1), 10, CPU, finished=lambda: bool(count >= 3))
    assert count == 3
    repeat(lambda: count.add_(1), 10, CPU, finished=lambda: False)
    assert count == 13


@pytest.mark.gpu
def test_a_recorded_function_gives_what_it_gave():
    replayed = GraphedFunction(_halve)
    shapes = [(4 + i, 6) for i in range(MAX_GRAPHS + 2)]
    results, expected = [], []
    for shape in [*shapes, *shapes] * 3:
        x, other = torch.randn(2, *shape, dtype=torch.complex64, device="cuda")
        results.append(replayed(x, other))
        expected.append(_halve(x, other))
    for result, one in zip(results, expected, strict=True):
        torch.testing.assert_close(result, one, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
def test_what_waits_for_the_device_is_computed_in_the_ordinary_way(caplog):
    def function(x):
        return x * float(x.sum())

    replayed = GraphedFunction(function)
    for i in range(5):
        x = torch.full((3,), float(i), device="cuda")
        torch.testing.assert_close(replayed(x), function(x))
    assert caplog.text.count("without a CUDA graph") == 1


@pytest.mark.gpu
@pytest.mark.parametrize("times", [0, 1, 3, 4, 50])
def test_recorded_steps_are_as_many(times):
    count = torch.zeros((), device="cuda")
    repeat = RepeatedStep()
    for repetition in (1, 2):
        repeat(lambda: count.add_(1), times, count.device, finished=lambda: False)
        assert count == repetition * times


@pytest.mark.gpu
def test_steps_that_cannot_be_recorded_are_taken_one_by_one(caplog):
    count = torch.zeros((), device="cuda")
    repeat = RepeatedStep()
    for repetition in (1, 2):
        repeat(lambda: count.add_(float(count) * 0 + 1), 9, count.device, lambda: False)
        assert count == repetition * 9
    assert caplog.text.count("without a CUDA graph") == 1
