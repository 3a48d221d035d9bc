from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.images.geometry import axis_sign, geometry_of
from gadget.mri.operators.fourier import ifftc

OBLIQUE = {
    # Tilted 30 degrees about x, then turned about z so that sine and cosine are 0.6 and 0.8.
    "read_dir": (0.8, 0.6, 0.0),
    "phase_dir": (-0.6 * 0.75**0.5, 0.8 * 0.75**0.5, 0.5),
    "slice_dir": (0.3, -0.4, 0.75**0.5),
}
"""Double oblique, right-handed."""


def header(size=(4, 6, 1), fov=(8.0, 18.0, 5.0), position=(0, 0, 0), **fields):
    head = ismrmrd.ImageHeader()
    head.matrix_size, head.field_of_view, head.position = size, fov, tuple(position)
    head.read_dir, head.phase_dir, head.slice_dir = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    for name, value in fields.items():
        setattr(head, name, value)
    return head


def centre(geometry, *index):
    return (geometry.affine @ (*index, 1))[:3]


def test_the_origin_of_the_transform_lies_at_the_position():
    # What the middle sample of k-space alone gives is flat; a ramp of phase moves it from there.
    for size in (6, 7):
        volume = geometry_of(header((size, 5, size), (12, 12, 12), (3, -4, 5)))
        np.testing.assert_allclose(centre(volume, size // 2, 2, size // 2), (3, -4, 5))
        place = np.zeros(size)
        place[size // 2] = 1
        np.testing.assert_allclose(ifftc(np.full(size, size**-0.5), (0,)).real, place, atol=1e-12)
        geometry = geometry_of(header((size, size, 1), (12, 12, 5), (3, -4, 5)))
        np.testing.assert_allclose(centre(geometry, size // 2, size // 2, 0), (3, -4, 5))


def test_a_double_oblique_slice_by_hand():
    geometry = geometry_of(header(position=(10, 20, 30), **OBLIQUE))
    np.testing.assert_allclose(geometry.spacing, (2, 3, 5))
    np.testing.assert_allclose(geometry.directions, list(OBLIQUE.values()), atol=1e-6)
    # Two voxels of 2 mm back along the rows, three of 3 mm along the columns.
    first = (10 - 3.2 + 9 * 0.519615, 20 - 2.4 - 9 * 0.692820, 30 - 4.5)
    np.testing.assert_allclose(geometry.origin, first, atol=1e-4)
    np.testing.assert_allclose(
        geometry.affine,
        [
            [1.6, -1.558846, 1.5, first[0]],
            [1.2, 2.078461, -2.0, first[1]],
            [0.0, 1.5, 4.330127, first[2]],
            [0, 0, 0, 1],
        ],
        atol=1e-4,
    )


def test_a_left_handed_scan_counts_its_slices_the_other_way():
    flipped = tuple(-part for part in OBLIQUE["slice_dir"])
    geometry = geometry_of(header((4, 6, 3), **{**OBLIQUE, "slice_dir": flipped}))
    np.testing.assert_allclose(geometry.directions[2], flipped, atol=1e-6)
    assert np.linalg.det(geometry.affine) < 0
    np.testing.assert_allclose(centre(geometry, 2, 3, 1), 0, atol=1e-6)
    np.testing.assert_allclose(
        geometry.plane_origin(2) - geometry.plane_origin(0), 10 / 3 * np.array(flipped)
    )


@pytest.mark.parametrize("size", [4, 5])
def test_flipping_pixels_and_direction_leaves_every_voxel_where_it_is(size):
    plain = geometry_of(header((size, 6, 1), position=(1, 2, 3), **OBLIQUE))
    row, column = OBLIQUE["read_dir"], OBLIQUE["phase_dir"]
    meta = {"ImageRowDir": [str(-part) for part in row], "ImageColumnDir": [*map(str, column)]}
    flipped = geometry_of(header((size, 6, 1), position=(1, 2, 3), **OBLIQUE), meta)
    for x in range(size):
        np.testing.assert_allclose(
            centre(flipped, size - 1 - x, 2, 0), centre(plain, x, 2, 0), atol=1e-6
        )


def test_a_position_that_is_no_number_is_none():
    geometry = geometry_of(header(position=(1, np.nan, np.inf)))
    assert not geometry.located
    assert np.isfinite(geometry.affine).all()


@pytest.mark.parametrize("length", [np.nan, np.inf])
def test_a_field_of_view_that_is_no_number_is_none(length):
    geometry = geometry_of(header(fov=(8, length, 5)))
    assert not geometry.located
    np.testing.assert_array_equal(geometry.spacing, (2, 1, 5))


def test_unreadable_directions_in_the_metadata_are_ignored():
    for value in ("north", ["1", "0"], ["a", "b", "c"], ["0", "0", "0"]):
        geometry = geometry_of(header(**OBLIQUE), {"ImageRowDir": value})
        np.testing.assert_allclose(geometry.directions[0], OBLIQUE["read_dir"], atol=1e-6)


def test_siemens_directions_are_those_of_the_forward_transform():
    xml = (
        b"<ismrmrdHeader><acquisitionSystemInformation><systemVendor>%s</systemVendor>"
        b"</acquisitionSystemInformation></ismrmrdHeader>"
    )
    assert axis_sign(xml % b"SIEMENS Healthineers") == -1
    assert axis_sign(xml % b"GE") == axis_sign(None) == 1
    head = header((4, 5, 3), position=(7, 8, 9), **OBLIQUE)
    plain, turned = geometry_of(head), geometry_of(head, sign=-1)
    np.testing.assert_allclose(turned.directions, -plain.directions, atol=1e-6)
    np.testing.assert_allclose(centre(turned, 2, 2, 1), (7, 8, 9), atol=1e-6)
    same = {"ImageRowDir": OBLIQUE["read_dir"], "ImageColumnDir": OBLIQUE["phase_dir"]}
    np.testing.assert_allclose(geometry_of(head, same, -1).affine, turned.affine, atol=1e-6)
    # A slice of a 2D scan has no encoding along z: its order is that of the positions.
    head = header((4, 5, 1), **OBLIQUE)
    np.testing.assert_allclose(
        geometry_of(head, sign=-1).directions[2], OBLIQUE["slice_dir"], atol=1e-6
    )


def test_axes_that_are_not_perpendicular_are_an_error():
    with pytest.raises(DataError, match=r"must be perpendicular, got \(1.000, 0.000, 0.000\)"):
        geometry_of(header(phase_dir=(0.6, 0.8, 0)))


def test_rounded_directions_become_perpendicular():
    geometry = geometry_of(header(read_dir=(0.8, 0.6, 0.001), phase_dir=(-0.6, 0.8, 0.001)))
    np.testing.assert_allclose(geometry.directions @ geometry.directions.T, np.eye(3), atol=1e-12)


def test_images_that_say_nothing_are_put_somewhere_and_say_so():
    zero = (0, 0, 0)
    head = header(fov=zero, read_dir=zero, phase_dir=zero, slice_dir=zero)
    geometry = geometry_of(head, sign=-1)
    assert not geometry.located
    np.testing.assert_array_equal(geometry.directions, np.eye(3))
    np.testing.assert_array_equal(geometry.spacing, 1)
    assert geometry_of(header()).located
