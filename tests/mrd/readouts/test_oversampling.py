from __future__ import annotations

import numpy as np
import pytest

from gadget.mrd.readouts.oversampling import remove_oversampling
from gadget.mri.operators.fourier import fftc, ifftc


@pytest.mark.parametrize(("width", "size"), [(16, 8), (15, 8), (16, 7), (15, 7), (9, 9)])
def test_cropping_keeps_the_middle_of_the_field_of_view(width, size):
    random = np.random.default_rng(0)
    image = (random.normal(size=(2, 3, width)) + 1j).astype(np.complex64)
    kspace = fftc(image, (-1,)).astype(np.complex64)
    cropped, weight, _ = remove_oversampling(kspace, np.ones((2, width), np.float32), size)
    start = width // 2 - size // 2
    got = ifftc(cropped, (-1,))
    np.testing.assert_allclose(got, image[..., start : start + size], atol=1e-6)
    assert weight.shape == (2, size)
    assert (weight == 1).all()


def test_cropping_keeps_white_noise_white():
    random = np.random.default_rng(1)
    noise = random.normal(size=(400, 1, 32)) + 1j * random.normal(size=(400, 1, 32))
    cropped, _, _ = remove_oversampling(
        noise.astype(np.complex64), np.ones((400, 32), np.float32), 16
    )
    assert np.mean(np.abs(cropped) ** 2) == pytest.approx(2, rel=0.05)
    neighbours = np.mean(cropped[..., 1:] * cropped[..., :-1].conj())
    assert abs(neighbours) < 0.1


@pytest.mark.parametrize("width", [256, 255])
def test_spikes_are_removed_from_complete_readouts(width):
    random = np.random.default_rng(2)
    noise = random.normal(size=(20, 4, width)) + 1j * random.normal(size=(20, 4, width))
    spiked = noise.copy()
    spiked[7, :, 100] += 1000
    complete = np.ones((20, width), np.float32)

    def cropped(kspace, weight):
        return remove_oversampling(kspace.astype(np.complex64), weight, 128)

    truth, _, none = cropped(noise, complete)
    found, _, count = cropped(spiked, complete)
    assert (none, count) == (0, 1)
    assert np.abs(found - truth).max() < 10
    incomplete = complete.copy()
    incomplete[:, :20] = 0
    assert cropped(spiked, incomplete)[2] == 0
