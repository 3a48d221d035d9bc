from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.phantoms.head import head_slice


def test_the_head_fits_its_field_of_view():
    image = head_slice((128, 128), 220, 0)
    assert image.dtype == np.float32
    assert 0.7 < image.max() <= 1.2
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert not edge.any()
    assert 0.3 < np.mean(image > 0.05) < 0.7


def test_resolution_changes_the_sampling_and_not_the_head():
    coarse = head_slice((96, 96), 220, 10)
    fine = head_slice((288, 288), 220, 10)
    # Pixel n // 2 is the centre of both: three fine pixels around every coarse one.
    averaged = np.roll(fine, (1, 1), (0, 1)).reshape(96, 3, 96, 3).mean((1, 3))
    assert np.corrcoef(coarse.ravel(), averaged.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(("seed", "z"), [(1, 0), (0, 12)])
def test_heads_and_slices_differ(seed, z):
    one, other = head_slice((64, 64), 220, 0), head_slice((64, 64), 220, z, seed)
    assert np.abs(one - other).max() > 0.3


def test_there_is_detail_at_the_finest_scale():
    image = head_slice((256, 256), 220, 0)
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(image))) ** 2
    y, x = np.meshgrid(*(np.linspace(-1, 1, 256),) * 2, indexing="ij")
    assert spectrum[np.hypot(y, x) > 0.5].sum() > 1e-3 * spectrum.sum()
