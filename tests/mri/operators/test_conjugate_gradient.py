from __future__ import annotations

import torch

from gadget.mri.operators.conjugate_gradient import ConjugateGradient


def test_a_system_of_zeros_has_the_solution_zero():
    zero = torch.zeros(4, 4, dtype=torch.complex64)
    solved = ConjugateGradient(dims=(-2, -1)).solve(lambda x: 2 * x, zero, zero, 5)
    assert not solved.any()


def test_iteration_stops_at_the_solution():
    calls = []

    def normal(x):
        calls.append(x)
        return 2 * x

    rhs = torch.randn(4, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    solver = ConjugateGradient(dims=(-2, -1))
    torch.testing.assert_close(solver.solve(normal, rhs, torch.zeros_like(rhs), 50), rhs / 2)
    assert len(calls) == 2


def test_a_solver_solves_one_system_after_the_other():
    solver = ConjugateGradient(dims=(-2, -1))
    random = torch.Generator().manual_seed(0)
    for shape in ((4, 4), (4, 4), (3, 4, 4)):
        rhs = torch.randn(shape, dtype=torch.complex128, generator=random)
        first = solver.solve(lambda x: 2 * x, rhs, torch.zeros_like(rhs), 5)
        second = solver.solve(lambda x: 2 * x, 3 * rhs, first, 5)
        torch.testing.assert_close(first, rhs / 2)
        torch.testing.assert_close(second, 1.5 * rhs)
