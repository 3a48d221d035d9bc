from __future__ import annotations

import re

import pytest

from gadget.mrd.images.reader import read_images
from gadget.mrd.images.writer import ImageWriter

pytest.importorskip("skimage")


@pytest.fixture
def images(raw, tmp_path):
    """The truth in another scale, as if it had been reconstructed."""
    path = tmp_path / "out.h5"
    with ImageWriter(path) as writer:
        for image in read_images(raw, "truth"):
            image.data[:] *= 3
            image.data[..., 0] += 1
            writer.append(image)
    return path


def test_a_table_and_a_picture(run, raw, images, tmp_path):
    done = run("compare", images, raw, "--png", "out.png")
    assert done.returncode == 0, done.stderr
    values = re.findall(
        r"^(0|1|all) +([\d.]+) dB +([\d.]+) +([\d.]+) dB +([\d.]+)$", done.stdout, re.M
    )
    assert [row[0] for row in values] == ["0", "1", "all"]
    for _, simple_psnr, simple_ssim, psnr, ssim in values:
        assert float(psnr) > float(simple_psnr) + 10
        assert float(ssim) > float(simple_ssim)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_raw_data_without_truth(run, images, shepp_logan):
    done = run("compare", images, shepp_logan("-m", "32", "-c", "2"))
    assert done.returncode == 2
    assert "has no group 'truth'. Give the images first, then the raw data" in done.stderr


def test_images_of_another_scan(run, raw, images, tmp_path):
    run("simulate", "other.h5", "--matrix", 40, "--coils", 2)
    done = run("compare", images, "other.h5")
    assert done.returncode == 1
    assert "Are these files of the same scan?" in done.stderr
