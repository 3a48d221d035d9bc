from __future__ import annotations

import numpy as np
import pytest

from gadget.errors import ConfigError, DataError
from gadget.mri.sampling.patterns import parse_pattern


@pytest.mark.parametrize(
    ("text", "label", "measured"),
    [
        ("uniform1d:4:0.1", "1D uniform, R = 4, 10% centre", 40 * (10 + 3)),
        ("random1d:5", "1D random, R = 5, no centre", 40 * 8),
        ("gaussian1d:2.5:0.04", "1D Gaussian, R = 2.5, 4% centre", 40 * 16),
        ("gaussian2d:8:0.1", "2D Gaussian, R = 8, 10% centre", 200),
    ],
)
def test_patterns_are_spelt(text, label, measured):
    pattern = parse_pattern(text)
    assert (pattern.name, pattern.label) == (text, label)
    mask = pattern.draw((40, 40), np.random.default_rng(0))
    assert mask.shape == (40, 40)
    assert mask.dtype == bool
    assert mask.sum() == measured
    if "1d" in text:
        assert (mask == mask[:, :1]).all()


@pytest.mark.parametrize(
    "text", ["", "random1d", "random1d:", "random1d:x", "spiral:4", "random1d:4:0.1:2",
             "random1d:0.5", "random1d:4:-1", "random1d:4:2", "random1d:nan", "poisson2d:inf"]
)  # fmt: skip
def test_patterns_that_are_misspelt(text):
    with pytest.raises(ConfigError, match="is no sampling pattern; expected KIND:ACCELERATION"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["random1d:8:0.2", "gaussian1d:4:0.26", "gaussian2d:8:0.4"])
def test_a_centre_that_leaves_no_room_is_refused_at_once(text):
    with pytest.raises(ConfigError, match=f"The centre of '{text}' alone holds more points than"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["uniform1d:8:0.2", "random1d:10:0.1", "gaussian2d:25:0.2"])
def test_a_centre_that_is_all_or_comes_on_top(text):
    mask = parse_pattern(text).draw((60, 60), np.random.default_rng(0))
    assert mask[27:33, 27:33].all()


def test_masks_from_files(tmp_path):
    points = np.random.default_rng(0).random((6, 8)) < 0.4
    np.save(tmp_path / "points.npy", points.astype(np.complex64) * 1j)
    np.save(tmp_path / "lines.npy", np.array([0, 1, 0, 2, 0, 0]))
    rng = np.random.default_rng(0)
    drawn = parse_pattern(str(tmp_path / "points.npy")).draw((6, 8), rng)
    np.testing.assert_array_equal(drawn, points)
    (tmp_path / "lines.npy").rename(tmp_path / "lines.NPY")
    pattern = parse_pattern(str(tmp_path / "lines.NPY"))
    assert pattern.label == "lines, R = 3"
    assert np.flatnonzero(pattern.draw((6, 8), rng)[:, 5]).tolist() == [1, 3]
    assert (pattern.matrix, parse_pattern(str(tmp_path / "points.npy")).matrix) == ((6, 6), (6, 8))
    assert pattern.draw(pattern.matrix, rng).shape == (6, 6)
    np.save(tmp_path / "column.npy", points[:, :1])
    assert parse_pattern(str(tmp_path / "column.npy")).matrix == (6, 6)
    for shape in ((7, 8), (8, 6)):
        with pytest.raises(DataError, match="they must be equal"):
            pattern.draw(shape, rng)


def test_files_that_hold_no_mask(tmp_path):
    np.save(tmp_path / "empty.npy", np.zeros((4, 4)))
    np.save(tmp_path / "deep.npy", np.ones((2, 4, 4)))
    (tmp_path / "text.npy").write_text("mask")
    (tmp_path / "cut.npy").touch()
    np.savez(tmp_path / "several.npz", np.ones(4))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    for name in ("empty", "deep"):
        with pytest.raises(ConfigError, match="with at least one measured"):
            parse_pattern(str(tmp_path / f"{name}.npy"))
    for name in ("text", "missing", "cut", "several"):
        with pytest.raises(ConfigError, match="cannot be read"):
            parse_pattern(str(tmp_path / f"{name}.npy"))
