from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.mrd.export.stacks import stacks
from gadget.mrd.images.geometry import geometry_of

OBLIQUE = {
    "read_dir": (0.8, 0.6, 0.0),
    "phase_dir": (-0.6 * 0.75**0.5, 0.8 * 0.75**0.5, 0.5),
    "slice_dir": (0.3, -0.4, 0.75**0.5),
}


def header(size=(4, 6, 1), fov=(8.0, 18.0, 5.0), position=(0, 0, 0), **fields):
    head = ismrmrd.ImageHeader()
    head.matrix_size, head.field_of_view, head.position = size, fov, tuple(position)
    for name, value in (OBLIQUE | fields).items():
        setattr(head, name, value)
    return head


def centre(geometry, *index):
    return (geometry.affine @ (*index, 1))[:3]


def sliced(*places, **fields):
    normal = np.array(OBLIQUE["slice_dir"])
    return [geometry_of(header(position=place * normal, **fields)) for place in places]


def test_slices_stack_in_the_order_of_their_places_with_the_distance_of_their_centres():
    (stack,) = stacks(sliced(7, -5, 1, 1))
    assert stack.members == ((1,), (2, 3), (0,))
    assert stack.geometry.shape == (4, 6, 3)
    np.testing.assert_allclose(stack.geometry.spacing, (2, 3, 6), atol=1e-4)
    np.testing.assert_allclose(
        centre(stack.geometry, 2, 3, 2), 7 * np.array(OBLIQUE["slice_dir"]), atol=1e-4
    )


def test_unequal_gaps_part_the_slices():
    groups = stacks(sliced(0, 5, 10, 30, 35, 70))
    assert [stack.members for stack in groups] == [((0,), (1,), (2,)), ((3,), (4,)), ((5,),)]
    assert [stack.geometry.spacing[2] for stack in groups] == pytest.approx([5, 5, 5], abs=1e-3)


def test_positions_that_a_converter_has_rounded_stack():
    normal = np.array(OBLIQUE["slice_dir"])
    rounded = [geometry_of(header(position=np.round(5.5 * i * normal, 1))) for i in range(20)]
    (stack,) = stacks(rounded)
    assert stack.geometry.shape == (4, 6, 20)
    assert stack.geometry.spacing[2] == pytest.approx(5.5, abs=0.01)


def test_other_directions_sizes_and_sideways_shifts_do_not_stack():
    shifted = geometry_of(header(position=(0, 2.0, 5)))
    other = geometry_of(header(read_dir=(1, 0, 0), phase_dir=(0, 1, 0), slice_dir=(0, 0, 1)))
    one = [*sliced(0, 5), other, shifted, *sliced(10, size=(6, 6, 1))]
    assert [stack.members for stack in stacks(one)] == [((0,), (1,)), ((2,),), ((3,),), ((4,),)]


def test_volumes_do_not_stack_but_repeat():
    groups = stacks(sliced(0, 15, 0, size=(4, 6, 3), fov=(8, 18, 15)))
    assert [stack.members for stack in groups] == [((0, 2),), ((1,),)]
    assert groups[1].geometry.shape == (4, 6, 3)
    assert groups[1].geometry.spacing[2] == pytest.approx(5)
