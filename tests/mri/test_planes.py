from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.planes import split_planes


def _volume(shape=(2, 4, 6, 5)) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def _joined(planes, shape) -> np.ndarray:
    image = np.full(shape, np.nan, np.complex64)
    for plane in planes:
        image[(slice(None), *plane.index)] = ifftc(plane.data)
    return image


@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (2, 5, 6, 7), (2, 2, 3, 4)])
@pytest.mark.parametrize("alike", [True, False])
def test_planes_make_up_the_full_3d_transform(shape, alike):
    kspace = _volume(shape)
    weight = np.ones(shape[1:], np.float32)
    if not alike:
        weight[0, 1] = 2
    planes = list(split_planes(KSpace(kspace, weight)))
    assert len(planes) == (shape[1] if alike else shape[3])
    assert all(plane.data.dtype == np.complex64 for plane in planes)
    np.testing.assert_allclose(_joined(planes, shape), ifftc(kspace, (1, 2, 3)), atol=1e-5)


def test_partitions_sampled_alike_keep_their_pattern():
    weight = np.zeros((4, 6, 5), np.float32)
    weight[:, ::2] = 3
    planes = list(split_planes(KSpace(_volume() * (weight > 0), weight)))
    assert [plane.index for plane in planes] == [(0,), (1,), (2,), (3,)]
    for plane in planes:
        np.testing.assert_array_equal(plane.weight, weight[0])
        assert not plane.data[:, 1::2].any()


def test_other_volumes_become_planes_of_kz_and_ky():
    weight = np.zeros((4, 6, 5), np.float32)
    weight[::2, ::3] = 1
    weight[1, 1] = 2
    kspace = fftc(_volume(), (3,)) * (weight > 0)
    planes = list(split_planes(KSpace(kspace, weight)))
    assert len(planes) == 5
    for x, plane in enumerate(planes):
        assert plane.data.shape == (2, 4, 6)
        np.testing.assert_array_equal(plane.weight, weight[:, :, 0])
        assert plane.index[2] == x
        np.testing.assert_allclose(plane.data, (_volume() * (weight > 0))[..., x], atol=1e-5)


def test_a_2d_scan_is_one_plane_as_it_is():
    kspace = _volume((2, 1, 6, 5))
    (plane,) = split_planes(KSpace(kspace, np.ones((1, 6, 5), np.float32)))
    np.testing.assert_array_equal(plane.data, kspace[:, 0])
    assert plane.index == (0,)


def test_calibration_lines_are_cut_as_the_image_is_whatever_their_own_pattern_is():
    kspace, alike = _volume(), np.ones((4, 6, 5), np.float32)
    block = np.zeros_like(alike)
    block[1:3, 2:5] = 2
    lines = KSpace(kspace * (block > 0), block)
    planes = list(split_planes(KSpace(kspace, alike, lines)))
    assert [plane.index for plane in planes] == [(0,), (1,), (2,), (3,)]
    calibration = [plane.calibration for plane in planes]
    for plane in calibration:
        np.testing.assert_array_equal(plane.weight, block[1])
    expected = ifftc(lines.data, (1, 2, 3))
    np.testing.assert_allclose(_joined(calibration, kspace.shape), expected, atol=1e-5)
    assert len(list(split_planes(KSpace(lines.data, block, KSpace(kspace, alike))))) == 5


def test_calibration_lines_are_turned_and_moved_with_the_image():
    lines = KSpace(_volume((2, 1, 6, 5)), np.ones((1, 6, 5), np.float32))
    (plane,) = split_planes(KSpace(lines.data, lines.weight, lines))
    for changed in (plane.transposed(), plane.moved(1, 2)):
        np.testing.assert_array_equal(changed.calibration.data, changed.data)
        np.testing.assert_array_equal(changed.calibration.weight, changed.weight)
