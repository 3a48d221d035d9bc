from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import ConfigError
from gadget.mrd.images.pixels import PixelConverter

IMAGE = (np.arange(24).reshape(2, 3, 4) * np.exp(0.5j)).astype(np.complex64)


@pytest.mark.parametrize(
    ("output", "dtype", "image_type"),
    [
        ("magnitude", np.float32, ismrmrd.IMTYPE_MAGNITUDE),
        ("complex", np.complex64, ismrmrd.IMTYPE_COMPLEX),
        ("phase", np.float32, ismrmrd.IMTYPE_PHASE),
        ("uint16", np.uint16, ismrmrd.IMTYPE_MAGNITUDE),
    ],
)
def test_types(output, dtype, image_type):
    pixels = PixelConverter(output).convert(IMAGE)
    assert pixels.array.dtype == dtype
    assert pixels.image_type == image_type


def test_values():
    np.testing.assert_allclose(PixelConverter().convert(IMAGE).array, np.abs(IMAGE))
    phase = PixelConverter("phase").convert(IMAGE).array
    np.testing.assert_allclose(phase.ravel()[1:], 0.5, atol=1e-6)
    np.testing.assert_array_equal(PixelConverter("complex").convert(IMAGE).array, IMAGE)


def test_whole_numbers_have_one_scale_a_series_and_tell_it():
    converter = PixelConverter("uint16")
    first = converter.convert(IMAGE, series=1)
    assert first.array.max() == 16383
    back = first.array * first.meta["RescaleSlope"] + first.meta["RescaleIntercept"]
    np.testing.assert_allclose(back, np.abs(IMAGE), atol=23 / 16383)
    second = converter.convert(2 * IMAGE, series=1)
    assert second.meta == first.meta
    assert second.array.max() == 32766
    assert converter.convert(100 * IMAGE, series=2).array.max() == 16383


def test_an_image_too_bright_for_the_scale_of_its_series_begins_a_new_one():
    converter = PixelConverter("uint16")
    converter.convert(0.01 * IMAGE)
    for image in (IMAGE, 0.5 * IMAGE):
        pixels = converter.convert(image)
        back = pixels.array * pixels.meta["RescaleSlope"]
        np.testing.assert_allclose(back, np.abs(image), atol=23 / 16383)
    assert 8191 <= pixels.array.max() <= 8192


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("hole", "expected"), [(np.nan, 0), (np.inf, 65535)])
def test_whole_numbers_of_pixels_that_are_not_finite(hole, expected):
    image = IMAGE.copy()
    image[0, 0, 0] = hole
    converter = PixelConverter("uint16")
    array = converter.convert(image).array
    assert (array[0, 0, 0], array[1, 2, 3]) == (expected, 16383)
    assert converter.convert(np.full_like(IMAGE, hole)).array.max() == expected


def test_an_empty_first_image_does_not_set_the_scale():
    converter = PixelConverter("uint16")
    assert not converter.convert(0 * IMAGE).array.any()
    assert converter.convert(IMAGE).array.max() == 16383


def test_an_unknown_output_is_an_error():
    with pytest.raises(ConfigError, match="magnitude, uint16, complex, phase"):
        PixelConverter("jpeg")
