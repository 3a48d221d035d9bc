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


def test_images_of_the_same_index_do_not_replace_each_other(tmp_path):
    writer = PngWriter(tmp_path)
    for value in (1, 2):
        writer.write(image(np.full((1, 1, 4, 4), value, np.float32)))
    writer.write(image(np.ones((1, 2, 4, 4), np.float32)))
    start = "series_1_image_002"
    names = [f"{start}.png", f"{start}_2.png", f"{start}_3_z000.png", f"{start}_3_z001.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_pixels_that_are_not_finite_do_not_darken_the_others(tmp_path, hole):
    pixels = np.linspace(0, 5, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    pixels[0, 0, 0, 1] = hole
    PngWriter(tmp_path).write(image(pixels))
    (path,) = tmp_path.iterdir()
    assert pyplot.imread(path)[4, 0, 0] == pytest.approx(32 / 63, abs=0.01)
    PngWriter(tmp_path).write(image(np.full((1, 1, 2, 2), np.nan, np.float32)))


def test_pictures_of_an_earlier_longer_series_do_not_pass_for_ours(tmp_path):
    names = ("series_1_image_002.png", "series_2_image_007.png", "a_series_1_image_007.png")
    for name in ("series_1_image_007.png", "series_1_image_002_2.png", *names):
        (tmp_path / name).touch()
    with PngWriter(tmp_path) as writer:
        writer.write(image(np.ones((1, 1, 4, 4), np.float32)))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        PngWriter(tmp_path / "file" / "folder")
