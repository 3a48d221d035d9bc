from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.images.results import ImageMaker


def _buffer(scan, image):
    gatherer = Gatherer(scan.header)
    ready = [buffer for one in scan.readouts(image) for buffer in gatherer.add(one)]
    (buffer,) = [*ready, *gatherer.finish()]
    return buffer


def _result(pixels, std=None):
    return SimpleNamespace(image=pixels, std=std, method="fft", fallback=None, details={})


def _image(scan):
    image = scan.image()
    pixels = scan.cropped(image)[0].astype(np.complex64)
    maker = ImageMaker(scan.header, 0)
    return next(maker.images(_buffer(scan, image), _result(pixels))), pixels


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


def test_encoding_spaces_have_series_of_their_own(make_scan):
    scan = make_scan()
    image = scan.image()
    pixels = scan.cropped(image)[0].astype(np.complex64)
    maker = ImageMaker(scan.header, 5)
    buffer = _buffer(scan, image)
    numbers = []
    for space in (0, 1, 0):
        buffer.reference.encoding_space_ref = space
        for one in maker.images(buffer, _result(pixels, std=np.abs(pixels))):
            numbers.append((one.image_series_index, one.image_index))
    assert numbers == [(5, 1), (105, 1), (6, 1), (106, 1), (5, 2), (105, 2)]
