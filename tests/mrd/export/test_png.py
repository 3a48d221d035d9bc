from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import ConfigError
from gadget.mrd.export.png import PngWriter

pyplot = pytest.importorskip("matplotlib.image")


def image(array, image_type=ismrmrd.IMTYPE_MAGNITUDE):
    return ismrmrd.Image.from_array(
        array, transpose=False, image_index=2, image_series_index=1, image_type=image_type
    )


def test_magnitudes_go_from_black_to_white(tmp_path):
    pixels = np.linspace(0, 5, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    PngWriter(tmp_path / "new" / "folder").write(image(pixels))
    (path,) = (tmp_path / "new" / "folder").iterdir()
    assert path.name == "series_1_image_002.png"
    grey = pyplot.imread(path)[..., 0].ravel()
    assert (np.diff(grey) >= 0).all()
    assert (grey[0], grey[-1]) == (0, 1)


def test_partitions_and_complex_pixels(tmp_path):
    pixels = np.full((2, 3, 4, 4), 1 - 1j, np.complex64)
    PngWriter(tmp_path).write(image(pixels, ismrmrd.IMTYPE_COMPLEX))
    assert len(list(tmp_path.glob("series_1_image_002_z00?.png"))) == 3


def test_an_empty_image_is_black(tmp_path):
    PngWriter(tmp_path).write(image(np.zeros((1, 1, 4, 4), np.float32)))
    (path,) = tmp_path.iterdir()
    assert pyplot.imread(path)[..., 0].max() == 0


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        PngWriter(tmp_path / "file" / "folder")
