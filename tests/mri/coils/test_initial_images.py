from __future__ import annotations

import numpy as np
import torch

from gadget.mri.coils.initial_images import low_resolution_images, walsh_images
from gadget.mri.sampling.centre import centre_extent


def test_coil_sensitivities_without_a_centre_survive_noise_and_empty_data(measure):
    mask = np.random.default_rng(0).random((48, 48)) < 0.5
    mask[24, 24] = False
    kspace = torch.zeros(3, 48, 48, dtype=torch.complex64)
    assert not walsh_images(kspace, torch.from_numpy(mask)).any()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 48, 48, dtype=torch.complex64, generator=generator)
    kspace = noise * torch.from_numpy(mask)
    assert torch.isfinite(torch.view_as_real(walsh_images(kspace, torch.from_numpy(mask)))).all()


def test_the_first_look_sees_the_centre_of_k_space_alone(measure):
    scan = measure(noise=0)
    kspace = torch.from_numpy(scan.kspace.data[:, 0])
    mask = torch.from_numpy(scan.kspace.mask[0])
    centre = centre_extent(mask.numpy())
    smooth = low_resolution_images(kspace, mask, centre)
    changed = kspace.clone()
    changed[:, :18] = changed[:, 30:] = 99
    torch.testing.assert_close(low_resolution_images(changed, mask, centre), smooth)
    full = low_resolution_images(
        torch.from_numpy(measure(noise=0, acceleration=1).kspace.data[:, 0]), mask, centre
    )
    torch.testing.assert_close(full, smooth)
