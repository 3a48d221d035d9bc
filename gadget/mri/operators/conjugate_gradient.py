"""Conjugate gradients for normal equations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gadget.mri.operators.cuda_graphs import FixedTensors, RepeatedStep


class ConjugateGradient:
    """Solves systems ``normal(x) = rhs`` one after the other.

    On a GPU an iteration is recorded as a CUDA graph, which serves all later systems.

    Parameters
    ----------
    dims
        Axes of one system; any other axis holds independent systems.
    """

    def __init__(self, dims: tuple[int, ...]) -> None:
        self._dims = dims
        self._state = FixedTensors()
        """Iterate, residual, direction, energy of the residual, and that at which a system is
        solved."""
        self._repeated = RepeatedStep()

    def solve(
        self, normal: Callable[[Tensor], Tensor], rhs: Tensor, initial: Tensor, iterations: int
    ) -> Tensor:
        """Return the solution of a system.

        Parameters
        ----------
        normal
            Hermitian and positive definite. The same at every call, but for tensors that are
            changed in place; it does not wait for the device.
        rhs, initial
            Right-hand side and initial value.
        iterations
            How many, at most.
        """
        residual = rhs - normal(initial)
        energy = self._inner(residual, residual)
        floor = 1e-12 * self._inner(rhs, rhs)
        if self._state.set(initial, residual, residual, energy, floor):
            self._repeated = RepeatedStep()
        self._repeated(lambda: self._iterate(normal), iterations, rhs.device, self._is_solved)
        x, *_ = self._state
        return x.clone()

    def _iterate(self, normal: Callable[[Tensor], Tensor]) -> None:
        x, residual, direction, energy, floor = self._state
        image = normal(direction)
        step = energy / self._inner(direction, image).clamp(min=1e-30)
        # A system that is solved stays so: its energies are rounding errors.
        step = torch.where(energy > floor, step, 0.0)
        x.add_(step * direction)
        residual.sub_(step * image)
        now = self._inner(residual, residual)
        direction.mul_(now / energy.clamp(min=1e-30)).add_(residual)
        energy.copy_(now)

    def _is_solved(self) -> bool:
        *_, energy, floor = self._state
        return bool((energy <= floor).all())

    def _inner(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.sum(a.conj() * b, dim=self._dims, keepdim=True).real
