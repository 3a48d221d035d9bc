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
        """Sensitivities and image of the current step, their conjugates, and the weight."""
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
        conj_maps, conj_image = maps.conj().resolve_conj(), image.conj().resolve_conj()
        self._point.set(maps, image, conj_maps, conj_image, weight)
        coil_images = self._sampling.adjoint(residual)
        rhs = self._unknowns.adjoint(conj_maps, conj_image, coil_images) - gradient
        return self._solver.solve(self._normal, rhs, torch.zeros_like(rhs), iterations)

    def _normal(self, vector: Tensor) -> Tensor:
        maps, image, conj_maps, conj_image, weight = self._point
        image_part, coefficients = self._unknowns.unpack(vector)
        change = self._unknowns.maps(coefficients).mul_(image).add_(maps * image_part)
        coil_images = self._sampling.normal(change)
        return self._unknowns.adjoint(conj_maps, conj_image, coil_images) + weight * vector
