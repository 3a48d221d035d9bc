"""Expected error of a CG-SENSE image, from the sampling pattern and the coils."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.conventional.cg_sense import cg_sense_image
from gadget.mri.conventional.natural_spectrum import natural_amplitudes
from gadget.mri.noise.complex_noise import complex_noise
from gadget.mri.operators.sense import SamplingOperator, SenseOperator

SEED = 0


def expected_error(sampling: SamplingOperator, maps: Tensor, image: Tensor) -> float:
    """Return the root mean square error to expect of the CG-SENSE image `[y, x]`.

    A random image of the same energy, with the spectrum of natural images, is measured without
    noise and reconstructed in the same way: what is lost is what the measurement does not
    determine.

    Parameters
    ----------
    sampling, maps
        The measurement and the coil sensitivities `[coil, y, x]`.
    image
        The CG-SENSE image, for its energy.
    """
    field_of_view = sampling.field_of_view
    random = field_of_view.pad(_random_natural_image(field_of_view.matrix).to(image.device))
    random = random * (image.abs().square().mean() / random.abs().square().mean()).sqrt()
    data = SenseOperator(sampling, maps).forward(random)
    lost = cg_sense_image(sampling, maps, data) - random
    return float(lost.abs().square().mean().sqrt())


def _random_natural_image(shape: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    noise = complex_noise(shape, generator, torch.device("cpu"))
    return torch.fft.ifft2(noise * natural_amplitudes(shape), norm="ortho")
