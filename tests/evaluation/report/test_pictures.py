from __future__ import annotations

import base64
import io

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from gadget.evaluation.report.pictures import display_maximum, grey, heatmap, zoom


def decoded(url):
    head, _, content = url.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_grey_images_have_a_common_window():
    image = np.array([[-1.0, 0.0, 5.0], [10.0, 20.0, 2.5]])
    pixels = np.asarray(decoded(grey(image, 10)))
    assert pixels.tolist() == [[0, 0, 128], [255, 255, 64]]


def test_errors_are_coloured_from_dark_to_bright():
    picture = decoded(heatmap(np.array([[0.0, 1.0, 2.0, 9.0]]), 2)).convert("RGB")
    brightness = np.asarray(picture, int).sum(-1)[0]
    assert brightness[0] < 20 < brightness[1] < brightness[2] == brightness[3]
    assert len({tuple(pixel) for pixel in np.asarray(picture)[0]}) == 3


def test_the_window_leaves_out_the_brightest_few():
    image = np.ones((100, 100))
    image[0, 0] = 1000
    assert display_maximum(image) == 1
    assert display_maximum(np.zeros((4, 4))) == 1


def test_the_zoom_is_where_the_detail_is():
    """Not at the brightest edge, which is the outline."""
    y, x = np.mgrid[-40:40, -32:32]
    image = np.where(np.hypot(y, x) < 30, 10.0, 0.0)
    image[44:56, 30:42] *= 1 + 0.2 * np.random.default_rng(0).normal(size=(12, 12))
    rows, columns = zoom(image)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (16, 16)
    assert rows.start <= 46 and rows.stop >= 54
    assert columns.start <= 32 and columns.stop >= 40


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (7, 9), (3, 5), (1, 1)])
def test_a_zoom_of_small_images(shape):
    size = min(8, *shape)
    for part, length in zip(zoom(np.ones(shape)), shape, strict=True):
        assert part.start >= 0 and part.stop <= length
        assert part.stop - part.start == size


def test_a_zoom_of_anything():
    rows, columns = zoom(np.zeros((20, 24)))
    assert 0 <= rows.start < rows.stop <= 20
    assert 0 <= columns.start < columns.stop <= 24
