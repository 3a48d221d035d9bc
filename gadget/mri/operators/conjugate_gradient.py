"""Conjugate gradients for normal equations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gadget.mri.operators.cuda_graphs import repeat


def conjugate_gradient(
    normal: Callable[[Tensor], Tensor],
    right: Tensor,
    start: Tensor,
    iterations: int,
    dims: tuple[int, ...],
) -> Tensor:
    """Solve ``normal(x) = right`` for a Hermitian positive definite `normal`.

    `dims` are the axes of one system; any other axis holds independent systems. A GPU is told of
    `normal` once and repeats it: it must not wait for the device, nor change what it is made of.
    """

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return torch.sum(a.conj() * b, dim=dims, keepdim=True).real

    x = start.clone()
    residual = right - normal(x)
    direction = residual.clone()
    energy = inner(residual, residual)
    floor = 1e-12 * inner(right, right)

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
