from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import ConfigError
from gadget.mrd.pixels import PixelConverter

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
    assert converter.convert(100 * IMAGE, series=1).array.max() == 65535
    assert converter.convert(100 * IMAGE, series=2).array.max() == 16383


def test_an_empty_first_image_does_not_set_the_scale():
    converter = PixelConverter("uint16")
    assert not converter.convert(0 * IMAGE).array.any()
    assert converter.convert(IMAGE).array.max() == 16383


def test_an_unknown_output_is_an_error():
    with pytest.raises(ConfigError, match="magnitude, uint16, complex, phase"):
        PixelConverter("jpeg")
