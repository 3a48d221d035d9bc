from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

pytest.importorskip("skimage")

from gadget.errors import ConfigError, DataError
from gadget.evaluation.comparison import compare
from gadget.evaluation.comparison_figure import save_figure
from gadget.mrd.images.meta import to_meta
from gadget.mrd.images.pixels import PixelConverter
from gadget.mrd.images.reader import read_images
from gadget.mrd.images.writer import ImageWriter
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan


@pytest.fixture
def scan(tmp_path):
    """Raw data of two slices, and their truth stored as images in another order and scale."""
    raw, out = tmp_path / "raw.h5", tmp_path / "out.h5"
    write_simulation(raw, SimulatedScan(matrix=40, coils=4, slices=2))
    with ImageWriter(out) as writer:
        for image in reversed(read_images(raw, "truth")):
            image.data[:] *= 0.25
            writer.append(image)
    return raw, out


def test_the_truth_is_perfect_and_zero_filling_is_not(scan):
    raw, out = scan
    found = compare(out, raw)
    assert [index.slice for index in found.indices] == [0, 1]
    np.testing.assert_allclose(found.reconstruction, found.truth, rtol=1e-5)
    best, simple = found.quality(found.reconstruction), found.quality(found.zero_filled)
    assert best.psnr > 80
    assert best.ssim == pytest.approx(1)
    assert 10 < simple.psnr < 30
    assert simple.ssim < 0.95


def test_slices_are_measured_one_by_one(scan):
    raw, out = scan
    found = compare(out, raw)
    values = [found.quality(found.zero_filled, number).ssim for number in (0, 1)]
    assert values[0] != values[1]


def test_scaled_whole_numbers_are_what_they_stand_for(scan, tmp_path):
    raw, out = scan
    with ImageWriter(tmp_path / "whole.h5") as writer:
        for image in read_images(out):
            # A scale for each image.
            pixels = PixelConverter("uint16").convert(image.data)
            header = image.getHead()
            header.data_type = ismrmrd.DATATYPE_USHORT
            whole = ismrmrd.Image(header)
            whole.data[:] = pixels.array
            whole.meta = to_meta(pixels.meta)
            writer.append(whole)
    found = compare(tmp_path / "whole.h5", raw)
    np.testing.assert_allclose(found.reconstruction, found.truth, atol=found.truth.max() / 16383)


def test_a_slice_that_is_missing(scan, tmp_path):
    raw, out = scan
    with ImageWriter(tmp_path / "less.h5") as writer:
        writer.append(read_images(out)[0])
    with pytest.raises(DataError, match="holds no magnitude or complex image of slice 0"):
        compare(tmp_path / "less.h5", raw)


def test_phase_images_are_not_compared(scan):
    raw, out = scan
    phases = read_images(out)
    with ImageWriter(out) as writer:
        for image in phases:
            writer.append(image)
        for image in phases:
            image.image_type, image.image_series_index = ismrmrd.IMTYPE_PHASE, 3000
            image.data[:] = 1
            writer.append(image)
    found = compare(out, raw)
    np.testing.assert_allclose(found.reconstruction, found.truth, rtol=1e-5)


def test_of_several_reconstructions_the_last_is_compared(scan, caplog):
    raw, out = scan
    with ImageWriter(out, "another") as writer:
        writer.append(read_images(raw, "truth")[0])
    found = compare(out, raw)
    np.testing.assert_allclose(found.reconstruction, found.truth, rtol=1e-5)
    assert "holds images in 'another', too; those in 'dataset' are compared" in caplog.text


def test_the_picture_has_a_row_for_each_slice(scan, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    raw, out = scan
    save_figure(compare(out, raw), tmp_path / "picture.png")
    height, width = image.imread(tmp_path / "picture.png").shape
    assert width == 1024
    assert height == pytest.approx(width / 4 * 2 * 1.1, abs=2)
    with pytest.raises(ConfigError, match="cannot be written"):
        save_figure(compare(out, raw), tmp_path / "nowhere" / "picture.png")
