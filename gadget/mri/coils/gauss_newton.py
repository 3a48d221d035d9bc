"""Gauss-Newton steps of a joint fit of image and coil coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.coils.joint_unknowns import JointUnknowns
from gadget.mri.operators.conjugate_gradient import ConjugateGradient
from gadget.mri.operators.cuda_graphs import FixedTensors
from gadget.mri.operators.sense import SamplingOperator


class GaussNewton:
    """Steps of the unknowns towards the data of one measurement.

    Parameters
    ----------
    unknowns
        Image and coil coefficients as one vector.
    sampling
        Mask and Fourier transform, M and F.
    """

    def __init__(self, unknowns: JointUnknowns, sampling: SamplingOperator) -> None:
        self._unknowns = unknowns
        self._sampling = sampling
        self._point = FixedTensors()
        """Sensitivities, image and weight of the current step."""
        self._solver = ConjugateGradient(dims=(0,))

    def step(
        self,
        maps: Tensor,
        image: Tensor,
        residual: Tensor,
        *,
        gradient: Tensor | float,
        weight: Tensor,
        iterations: int,
    ) -> Tensor:
        """Return the step: solve the problem linearised around the unknowns.

        ``min |M F (S dm + dS m) - r|^2 + weight |d|^2 + 2 <gradient, d>``

        Parameters
        ----------
        maps, image
            S `[coil, y, x]` and m `[y, x]`, their origin at index 0. Where S are polynomials that
            are divided by something, so is m.
        residual
            r, in the range of M F.
        gradient, weight
            Of the regularisation, as vectors or the same for all unknowns.
        iterations
            Conjugate-gradient iterations, at most.
        """
        self._point.set(maps, image, weight)
        rhs = self._unknowns.adjoint(maps, image, self._sampling.adjoint(residual)) - gradient
        return self._solver.solve(self._normal, rhs, torch.zeros_like(rhs), iterations)

    def _normal(self, vector: Tensor) -> Tensor:
        maps, image, weight = self._point
        image_part, coefficients = self._unknowns.unpack(vector)
        change = maps * image_part + self._unknowns.maps(coefficients) * image
        coil_images = self._sampling.normal(change)
        return self._unknowns.adjoint(maps, image, coil_images) + weight * vector
