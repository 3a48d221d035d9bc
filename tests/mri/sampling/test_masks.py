from __future__ import annotations

import numpy as np
import pytest

from gadget.errors import ConfigError
from gadget.mri.sampling.masks import (
    GAUSSIAN_WIDTHS,
    gaussian_lines,
    gaussian_points,
    poisson_points,
    random_lines,
    uniform_lines,
)


@pytest.mark.parametrize("lines", [64, 65, 320])
@pytest.mark.parametrize("acceleration", [2, 4, 5.5])
@pytest.mark.parametrize("draw", [random_lines, gaussian_lines])
def test_lines_are_as_many_as_the_acceleration_says(draw, lines, acceleration):
    mask = draw(lines, acceleration, 0.08, np.random.default_rng(0))
    assert mask.shape == (lines,)
    assert mask.sum() == round(lines / acceleration)
    width = round(0.08 * lines)
    start = lines // 2 - width // 2
    assert mask[start : start + width].all()


def test_random_lines_are_those_of_the_random_source():
    masks = [random_lines(64, 4, 0.08, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_random_lines_are_drawn_evenly():
    rng = np.random.default_rng(0)
    counts = np.mean([random_lines(50, 2, 0.2, rng) for _ in range(600)], axis=0)
    np.testing.assert_array_equal(counts[20:30], 1)
    outside = np.delete(counts, np.s_[20:30])
    np.testing.assert_allclose(outside, 15 / 40, atol=0.1)


def test_a_centre_that_leaves_no_room_is_an_error():
    with pytest.raises(ConfigError, match=r"leaves 6 of 64 lines, fewer than the 13 of the centre"):
        random_lines(64, 10, 0.2, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"leaves 41 of 4096 points, fewer than the 169 of"):
        gaussian_points((64, 64), 100, 0.2, np.random.default_rng(0))


def test_uniform_lines():
    assert np.flatnonzero(uniform_lines(15, 3, 0.2)).tolist() == [0, 3, 6, 7, 8, 9, 12]
    assert uniform_lines(16, 2, 0).sum() == 8
    assert np.flatnonzero(uniform_lines(10, 2.5, 0)).tolist() == [0, 2, 5, 7]


def test_gaussian_lines_are_denser_in_the_middle():
    rng = np.random.default_rng(0)
    counts = np.mean([gaussian_lines(128, 8, 0, rng) for _ in range(300)], axis=0)
    at = (np.arange(128) - 64) / 128
    spread = np.sqrt(np.average(at**2, weights=counts))
    # Drawn without repetition, they are a little wider than the density that they come from.
    assert GAUSSIAN_WIDTHS[1] < spread < 1.25 * GAUSSIAN_WIDTHS[1]
    assert np.average(at, weights=counts) == pytest.approx(0, abs=0.005)


def test_gaussian_points_have_a_square_centre_and_a_round_density():
    rng = np.random.default_rng(0)
    mask = gaussian_points((60, 90), 6, 0.1, rng)
    assert mask.sum() == 900
    assert mask[27:33, 41:50].all()
    counts = np.mean([gaussian_points((32, 48), 48, 0, rng) for _ in range(300)], axis=0)
    for axis, size in ((1, 32), (0, 48)):
        profile, at = counts.sum(axis), (np.arange(size) - size // 2) / size
        # Closer to the centre than lines are.
        spread = np.sqrt(np.average(at**2, weights=profile))
        assert GAUSSIAN_WIDTHS[2] < spread < GAUSSIAN_WIDTHS[1]


def test_poisson_points_keep_their_distance():
    pytest.importorskip("sigpy")
    masks = [poisson_points((64, 64), 6, 0.125, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert masks[0].size / masks[0].sum() == pytest.approx(6, abs=0.1)
    assert masks[0][28:36, 28:36].all()
    assert not masks[0][:6, :6].any()
    edge = masks[0].copy()
    edge[16:48, 16:48] = False
    scattered = np.zeros(64 * 64, bool)
    scattered[np.random.default_rng(0).choice(64 * 64, edge.sum(), replace=False)] = True
    assert neighbours(edge) < 0.6 * neighbours(scattered.reshape(64, 64))


def neighbours(mask):
    """Pairs of points side by side."""
    return (mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum()


def test_poisson_points_are_those_of_sigpy():
    poisson = pytest.importorskip("sigpy.mri").poisson
    seed = int(np.random.default_rng(3).integers(2**31))
    expected = poisson((48, 40), 5, (5, 4), dtype=bool, seed=seed)
    mask = poisson_points((48, 40), 5, 0.1, np.random.default_rng(3))
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("shape", "acceleration", "centre"),
    [((64, 64), 30, 0), ((32, 32), 20, 0.05), ((128, 128), 60, 0.02)],
)
def test_poisson_points_of_the_nearest_acceleration(shape, acceleration, centre):
    """sigpy looks for some of these without end."""
    pytest.importorskip("sigpy")
    for seed in range(6):
        mask = poisson_points(shape, acceleration, centre, np.random.default_rng(seed))
        assert mask.shape == shape
        assert mask.size / mask.sum() == pytest.approx(acceleration, rel=0.05)
        again = poisson_points(shape, acceleration, centre, np.random.default_rng(seed))
        np.testing.assert_array_equal(mask, again)


@pytest.mark.parametrize(
    ("shape", "acceleration", "centre"),
    [((32, 32), 30, 0.5), ((24, 24), 1.3, 0), ((8, 8), 1, 0), ((7, 9), 8, 0.06)],
)
def test_poisson_points_that_cannot_be(shape, acceleration, centre):
    pytest.importorskip("sigpy")
    with pytest.raises(ConfigError, match="There is no Poisson-disk pattern"):
        poisson_points(shape, acceleration, centre, np.random.default_rng(0))


def test_a_density_that_leaves_no_point_out():
    assert gaussian_lines(20, 1, 1, np.random.default_rng(0)).all()
    assert gaussian_points((20, 24), 1, 1, np.random.default_rng(0)).all()
