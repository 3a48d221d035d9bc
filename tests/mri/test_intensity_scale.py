from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.intensity_scale import image_scale


def test_bright_tissue_has_the_scale_one(phantom):
    image = phantom((64, 64))
    assert image_scale(image) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e5])
def test_the_scale_is_that_of_the_image(phantom, factor):
    image = phantom((64, 64))
    assert image_scale(factor * image) == pytest.approx(factor * image_scale(image))


def test_air_around_the_object_does_not_matter(phantom):
    image = phantom((64, 64))
    air = np.pad(image, 32) + 0.01 * np.random.default_rng(0).random((128, 128))
    assert image_scale(air) == pytest.approx(image_scale(image), rel=0.03)


def test_a_few_hot_pixels_do_not_matter(phantom):
    image = phantom((64, 64))
    image[0, :2] = 50
    assert image_scale(image) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_images_have_a_scale(value):
    assert image_scale(np.full((8, 8), value)) == (value or 1.0)
