from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gadget.mrd.gather import Gatherer
from gadget.mrd.results import ImageMaker


def _image(scan):
    gatherer = Gatherer(scan.header)
    image = scan.image()
    ready = [buffer for one in scan.readouts(image) for buffer in gatherer.add(one)]
    (buffer,) = [*ready, *gatherer.finish()]
    pixels = scan.cropped(image)[0].astype(np.complex64)
    result = SimpleNamespace(image=pixels, std=None, method="fft", fallback=None, details={})
    return next(ImageMaker(scan.header, 0).images(buffer, result)), pixels


@pytest.mark.parametrize(
    ("matrix", "thickness", "expected"), [(1, 5, 5), (1, 60, 60), (1, 2, 2), (1, 0, 0), (12, 60, 5)]
)
def test_a_slice_stays_one_plane_of_the_same_brightness(make_scan, matrix, thickness, expected):
    scan = make_scan(recon=(8, 8, matrix), recon_fov=(16, 16, thickness))
    image, pixels = _image(scan)
    np.testing.assert_allclose(image.data[0], pixels, atol=1e-6)
    assert tuple(image.getHead().matrix_size) == (8, 8, 1)
    assert tuple(image.getHead().field_of_view) == (16, 16, expected)


def test_partitions_beyond_the_slab_are_cut_off(make_scan):
    scan = make_scan(
        encoded=(16, 8, 6), recon=(8, 8, 4), encoded_fov=(32, 16, 30), recon_fov=(16, 16, 20)
    )
    image, pixels = _image(scan)
    np.testing.assert_allclose(image.data[0], pixels[1:5], atol=1e-6)
    assert tuple(image.getHead().field_of_view) == (16, 16, 20)
