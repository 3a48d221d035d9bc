"""Conjugate gradients for normal equations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gadget.mri.operators.cuda_graphs import repeat


def conjugate_gradient(
    normal: Callable[[Tensor], Tensor],
    rhs: Tensor,
    initial: Tensor,
    iterations: int,
    dims: tuple[int, ...],
) -> Tensor:
    """Solve ``normal(x) = rhs`` for a Hermitian positive definite `normal`.

    `dims` are the axes of one system; any other axis holds independent systems. On a GPU,
    `normal` is recorded as a CUDA graph: it must not synchronise, nor depend on anything that
    changes.
    """

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return torch.sum(a.conj() * b, dim=dims, keepdim=True).real

    x = initial.clone()
    residual = rhs - normal(x)
    direction = residual.clone()
    energy = inner(residual, residual)
    floor = 1e-12 * inner(rhs, rhs)

    def iterate() -> None:
        image = normal(direction)
        step = energy / inner(direction, image).clamp(min=1e-30)
        # A system that is solved stays so: its energies are rounding errors.
        step = torch.where(energy > floor, step, 0.0)
        x.add_(step * direction)
        residual.sub_(step * image)
        now = inner(residual, residual)
        direction.mul_(now / energy.clamp(min=1e-30)).add_(residual)
        energy.copy_(now)

    repeat(iterate, iterations, x.device, finished=lambda: bool((energy <= floor).all()))
    return x
