from __future__ import annotations

import torch

from gadget.mri.operators.conjugate_gradient import conjugate_gradient


def test_a_system_of_zeros_has_the_solution_zero():
    zero = torch.zeros(4, 4, dtype=torch.complex64)
    solved = conjugate_gradient(lambda x: 2 * x, zero, zero, 5, dims=(-2, -1))
    assert not solved.any()


def test_iteration_stops_at_the_solution():
    calls = []

    def normal(x):
        calls.append(x)
        return 2 * x

    rhs = torch.randn(4, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    solved = conjugate_gradient(normal, rhs, torch.zeros_like(rhs), 50, dims=(-2, -1))
    torch.testing.assert_close(solved, rhs / 2)
    assert len(calls) == 2
