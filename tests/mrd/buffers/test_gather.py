from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError, StreamError
from gadget.mrd.buffers.bucket_conversion import from_bucket
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.buffers.recon_data import AcquisitionBucket
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.operators.fourier import fftc, ifftc

AXES = (-3, -2, -1)


def _flag(acquisition: ismrmrd.Acquisition, *names: str) -> ismrmrd.Acquisition:
    for name in names:
        acquisition.set_flag(getattr(ismrmrd, f"ACQ_{name}"))
    return acquisition


def _gather(header, readouts):
    gatherer = Gatherer(header)
    return [one for a in readouts for one in gatherer.add(a)] + list(gatherer.finish())


@pytest.mark.parametrize("x", [16, 15])
@pytest.mark.parametrize("y", [8, 9])
@pytest.mark.parametrize("fov", [16.0, 32.0, 24.0])
def test_gives_back_the_image_without_oversampling(make_scan, x, y, fov):
    scan = make_scan(encoded=(x, y, 1), encoded_fov=(fov, 16, 5), recon_fov=(16.0, 16.0, 5.0))
    image = scan.image()
    (buffer,) = _gather(scan.header, scan.readouts(image))
    got = ifftc(buffer.kspace.data, AXES)
    np.testing.assert_allclose(got, scan.cropped(image), atol=1e-5)
    assert (buffer.kspace.weight == 1).all()
    assert buffer.field_of_view[0] == pytest.approx(got.shape[-1] * fov / x)
    assert buffer.field_of_view[1:] == (16.0, 5.0)


def test_gives_back_a_volume(make_scan):
    scan = make_scan(encoded=(16, 8, 5), limits={"kspace_encoding_step_2": (0, 4, 2)})
    image = scan.image()
    (buffer,) = _gather(scan.header, scan.readouts(image))
    np.testing.assert_allclose(ifftc(buffer.kspace.data, AXES), scan.cropped(image), atol=1e-5)
    assert buffer.reference.idx.kspace_encode_step_1 == 4
    assert buffer.reference.idx.kspace_encode_step_2 == 2


@pytest.mark.parametrize(("lines", "center"), [(8, 3), (8, 5), (9, 5), (9, 3)])
def test_a_centre_that_is_rounded_otherwise_costs_no_line(make_scan, lines, center):
    # Philips' converter has that of 0 to 7 at 3.
    scan = make_scan(encoded=(16, lines, 1), recon=(8, lines, 1))
    image = scan.image()
    limits = {"kspace_encoding_step_1": (0, lines - 1, center)}
    rounded = make_scan(encoded=scan.encoded, recon=scan.recon, limits=limits)
    (buffer,) = _gather(rounded.header, scan.readouts(image))
    np.testing.assert_allclose(ifftc(buffer.kspace.data, AXES), scan.cropped(image), atol=1e-5)


def test_partial_fourier_leaves_the_start_unmeasured(make_scan):
    scan = make_scan(limits={"kspace_encoding_step_1": (0, 5, 2)})
    image = scan.image()
    readouts = scan.readouts(image, ky=range(2, 8))
    assert readouts[0].idx.kspace_encode_step_1 == 0
    (buffer,) = _gather(scan.header, readouts)
    assert buffer.kspace.mask.any((0, 2)).tolist() == [False] * 2 + [True] * 6
    full = fftc(scan.cropped(image), AXES)
    np.testing.assert_allclose(buffer.kspace.data[..., 2:, :], full[..., 2:, :], atol=1e-5)
    assert buffer.reference.idx.kspace_encode_step_1 == 2


def test_interleaved_slices_come_out_separately(make_scan):
    scan = make_scan()
    images = [scan.image(i) for i in range(3)]
    stacks = [scan.readouts(image, slice=i) for i, image in enumerate(images)]
    for stack in stacks:
        _flag(stack[-1], "LAST_IN_SLICE")
    buffers = _gather(scan.header, [one for lines in zip(*stacks, strict=True) for one in lines])
    assert [buffer.reference.idx.slice for buffer in buffers] == [0, 1, 2]
    for buffer, image in zip(buffers, images, strict=True):
        np.testing.assert_allclose(ifftc(buffer.kspace.data, AXES), scan.cropped(image), atol=1e-5)


@pytest.mark.parametrize("limits", [{}, {"average": (0, 1, 0)}])
def test_averages_add_up_although_each_ends_with_a_flag(make_scan, limits):
    scan = make_scan(limits=limits)
    first, second = scan.image(0), scan.image(1)
    readouts = [*scan.readouts(first), *scan.readouts(second, ky=range(4), average=1)]
    _flag(readouts[7], "LAST_IN_SLICE")
    _flag(readouts[-1], "LAST_IN_SLICE")
    (buffer,) = _gather(scan.header, readouts)
    assert buffer.kspace.weight[0, :, 0].tolist() == [2] * 4 + [1] * 4
    one, two = (fftc(scan.cropped(image), AXES) for image in (first, second))
    np.testing.assert_allclose(
        buffer.kspace.data[..., :4, :], (one + two)[..., :4, :] / 2, atol=1e-5
    )
    np.testing.assert_allclose(buffer.kspace.data[..., 4:, :], one[..., 4:, :], atol=1e-5)


def test_averages_line_by_line_add_up_although_the_header_knows_of_one(make_scan):
    scan = make_scan(limits={"average": (0, 0, 0)})
    image, other = scan.image(), scan.image(1)
    readouts = [
        one
        for ky in range(8)
        for average in range(2)
        for one in scan.readouts(image if average else other, ky=[ky], average=average)
    ]
    _flag(readouts[-2], "LAST_IN_SLICE")
    _flag(readouts[-1], "LAST_IN_SLICE")
    (buffer,) = _gather(scan.header, readouts)
    assert (buffer.kspace.weight == 2).all()


def test_averages_of_interleaved_slices_add_up(make_scan):
    scan = make_scan()
    image = scan.image()
    readouts = []
    for average in range(2):
        stacks = [scan.readouts(image, slice=i, average=average) for i in range(2)]
        for stack in stacks:
            _flag(stack[-1], "LAST_IN_SLICE")
        readouts += [one for lines in zip(*stacks, strict=True) for one in lines]
    buffers = _gather(scan.header, readouts)
    assert [buffer.kspace.weight.max() for buffer in buffers] == [2, 2]


def test_a_flag_completes_at_once_where_the_header_tells_the_averages(make_scan):
    scan = make_scan(limits={"average": (0, 0, 0)})
    readouts = scan.readouts(scan.image())
    _flag(readouts[-1], "LAST_IN_SLICE")
    gatherer = Gatherer(scan.header)
    assert [len(gatherer.add(one)) for one in readouts] == [0] * 7 + [1]


def test_a_flag_of_the_outermost_line_does_not_tear_an_echo_train(make_scan):
    # GE's converter flags that line wherever it comes.
    limits = {"average": (0, 0, 0), "kspace_encoding_step_2": (0, 0, 0)}
    scan = make_scan(limits=limits | {"kspace_encoding_step_1": (0, 7, 4)})
    readouts = []
    for train in ([1, 7, 3, 5], [0, 6, 2, 4]):
        for number in range(2):
            readouts += scan.readouts(scan.image(number), ky=train, slice=number)
    for one in readouts:
        if one.idx.kspace_encode_step_1 == 7:
            _flag(one, "LAST_IN_SLICE")
    buffers = _gather(scan.header, readouts)
    assert [buffer.reference.idx.slice for buffer in buffers] == [0, 1]
    assert all(buffer.kspace.mask.all() for buffer in buffers)


def test_the_end_of_the_measurement_completes_at_once(make_scan):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    _flag(readouts[-1], "LAST_IN_MEASUREMENT")
    gatherer = Gatherer(scan.header)
    assert [len(gatherer.add(one)) for one in readouts] == [0] * 7 + [1]


def test_flags_of_partitions_do_not_split_a_volume(make_scan):
    scan = make_scan(encoded=(16, 8, 4), limits={"average": (0, 0, 0)})
    readouts = scan.readouts(scan.image())
    for one in readouts[7::8]:
        _flag(one, "LAST_IN_SLICE")
    gatherer = Gatherer(scan.header)
    counts = [len(gatherer.add(one)) for one in readouts]
    assert counts == [0] * 31 + [1]


def test_flags_of_partitions_do_not_split_volumes_that_take_turns(make_scan):
    scan = make_scan(encoded=(16, 8, 4))
    volumes = [scan.readouts(scan.image(phase), phase=phase) for phase in range(2)]
    for one in volumes[0][7::8] + volumes[1][7::8]:
        _flag(one, "LAST_IN_SLICE")
    starts = range(0, 32, 8)
    readouts = [one for at in starts for volume in volumes for one in volume[at : at + 8]]
    buffers = _gather(scan.header, readouts)
    assert [buffer.reference.idx.phase for buffer in buffers] == [0, 1]
    assert all(buffer.kspace.mask.all() for buffer in buffers)


def test_a_flag_completes_a_volume_when_the_next_one_begins(make_scan):
    scan = make_scan(encoded=(16, 8, 4))
    slabs = [scan.readouts(scan.image(slab), slice=slab) for slab in range(2)]
    _flag(slabs[0][-1], "LAST_IN_SLICE")
    gatherer = Gatherer(scan.header)
    assert [len(gatherer.add(one)) for one in slabs[0] + slabs[1][:1]] == [0] * 32 + [1]


def test_calibration_lines_of_all_partitions_do_not_split_a_volume(make_scan):
    scan = make_scan(encoded=(16, 8, 4), limits={"average": (0, 0, 0)})
    readouts = scan.readouts(scan.image())
    for one in readouts[7::8]:
        _flag(one, "LAST_IN_SLICE")
    calibration = scan.readouts(scan.image(), ky=[4])
    for one in calibration:
        _flag(one, "IS_PARALLEL_CALIBRATION_AND_IMAGING")
    (buffer,) = _gather(scan.header, [*calibration, *readouts])
    assert buffer.kspace.mask.all()


def test_flags_of_segments_do_not_split_an_image(make_scan):
    scan = make_scan(limits={"average": (0, 0, 0), "segment": (0, 1, 0)})
    readouts = [
        *scan.readouts(scan.image(), ky=range(0, 8, 2), segment=0),
        *scan.readouts(scan.image(), ky=range(1, 8, 2), segment=1),
    ]
    for one in readouts[3::4]:
        _flag(one, "LAST_IN_SLICE")
    (buffer,) = _gather(scan.header, readouts)
    assert buffer.kspace.mask.all()


def test_a_flag_completes_an_echo_train_whose_segments_are_its_directions(make_scan):
    scan = make_scan(limits={"average": (0, 0, 0), "segment": (0, 1, 0)})
    trains = [scan.readouts(scan.image(number), set=number) for number in range(3)]
    for train in trains:
        for one in train[::2]:  # it ends forwards
            one.idx.segment = 1
        _flag(train[-1], "LAST_IN_SLICE")
    gatherer = Gatherer(scan.header)
    counts = [len(gatherer.add(one)) for train in trains for one in train]
    assert np.flatnonzero(counts).tolist() == [8, 16]
    (last,) = gatherer.finish()
    assert last.kspace.mask.all()


@pytest.mark.parametrize("counter", ["segment", "average"])
@pytest.mark.parametrize("flagged", [False, True])
def test_repetitions_within_shots_or_averages_are_not_torn(make_scan, counter, flagged):
    scan = make_scan(limits={counter: (0, 1, 0)})
    lines = {"segment": (range(0, 8, 2), range(1, 8, 2)), "average": (range(8), range(8))}[counter]
    readouts = []
    for number, ky in enumerate(lines):
        for repetition in range(3):
            counters = {counter: number, "repetition": repetition}
            readouts += scan.readouts(scan.image(), ky=ky, **counters)
            if flagged and number == 1:
                _flag(readouts[-1], "LAST_IN_SLICE")
    buffers = _gather(scan.header, readouts)
    assert [buffer.reference.idx.repetition for buffer in buffers] == [0, 1, 2]
    assert all(buffer.kspace.mask.all() for buffer in buffers)


@pytest.mark.parametrize("block", [1, 2])
def test_repetitions_that_take_turns_are_not_split_line_by_line(make_scan, block):
    scan = make_scan()
    lines = [scan.readouts(scan.image(r), repetition=r) for r in range(2)]
    starts = range(0, 8, block)
    readouts = [one for at in starts for r in range(2) for one in lines[r][at : at + block]]
    buffers = _gather(scan.header, readouts)
    whole = [buffer for buffer in buffers if np.count_nonzero(buffer.kspace.mask[0, :, 0]) > 2]
    assert {buffer.reference.idx.repetition for buffer in whole} == {0, 1}
    assert len(buffers) == (2 if block == 1 else 3)


@pytest.mark.parametrize(
    ("samples", "center", "before", "after"), [(20, 12, 4, 0), (20, 8, 0, 4), (22, 11, 3, 3)]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_samples_that_are_too_many_are_those_to_discard(
    make_scan, samples, center, before, after, reverse
):
    scan = make_scan()
    padded = []
    for one in scan.readouts(scan.image()):
        head = ismrmrd.AcquisitionHeader.from_buffer_copy(bytes(one.getHead()))
        data = np.pad(one.data, ((0, 0), (before, samples - before - 16)), constant_values=99)
        head.discard_pre, head.discard_post, head.center_sample = before, after, center
        head.number_of_samples = samples
        if reverse:
            data, head.center_sample = data[:, ::-1], samples - 1 - center
            head.discard_pre, head.discard_post = after, before
        made = ismrmrd.Acquisition(head, np.ascontiguousarray(data))
        if reverse:
            _flag(made, "IS_REVERSE")
        padded.append(made)
    (buffer,) = _gather(scan.header, padded)
    (expected,) = _gather(scan.header, scan.readouts(scan.image()))
    np.testing.assert_allclose(buffer.kspace.data, expected.kspace.data, atol=1e-5)


@pytest.mark.parametrize("place", [0, 7, -1])
def test_a_readout_without_coils_costs_nothing_else(make_scan, place):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    header = readouts[place].getHead()
    header.active_channels = 0
    empty = ismrmrd.Acquisition(header, np.zeros((0, header.number_of_samples), np.complex64))
    readouts.insert(place, empty)
    found = []
    with pytest.raises(DataError, match="it has no coil"):
        found.extend(Gatherer(scan.header).gather(readouts))
    (buffer,) = found
    assert buffer.kspace.weight.all()


@pytest.mark.parametrize("flagged", [False, True])
def test_a_readout_too_short_for_an_image_costs_no_other(make_scan, flagged):
    scan = make_scan()
    stray = scan.readouts(scan.image(), ky=[4], contrast=1)[0]
    header = stray.getHead()
    header.number_of_samples, header.center_sample = 4, 2
    short = ismrmrd.Acquisition(header, stray.data[:, 6:10].copy())
    if flagged:
        _flag(short, "LAST_IN_SLICE")
    readouts = scan.readouts(scan.image())
    found = []
    with pytest.raises(DataError, match="no image line"):
        found.extend(Gatherer(scan.header).gather([*readouts[:3], short, *readouts[3:]]))
    (buffer,) = found
    assert buffer.kspace.weight.all()


def test_a_navigator_at_the_end_completes_its_image(make_scan):
    scan = make_scan()
    gatherer = Gatherer(scan.header)
    complete = []
    for number in range(2):
        readouts = scan.readouts(scan.image(number), set=number)
        navigator = _flag(scan.readouts(scan.image(), ky=[4], set=number)[0], "IS_NAVIGATION_DATA")
        _flag(navigator, "LAST_IN_SLICE")
        complete.append([len(gatherer.add(one)) for one in [*readouts, navigator]])
    assert complete[1] == [1, *[0] * 8]
    assert len(list(gatherer.finish())) == 1


@pytest.mark.parametrize("flagged", [False, True])
def test_a_readout_without_samples_costs_its_own_image_alone(make_scan, flagged):
    scan = make_scan(limits={"average": (0, 0, 0)})
    empty = scan.readouts(scan.image(), ky=[4], slice=9)[0]
    empty.discard_pre = empty.number_of_samples
    readouts = [empty]
    for number in range(3):
        readouts += scan.readouts(scan.image(number), slice=number)
        if flagged:
            _flag(readouts[-1], "LAST_IN_SLICE")
    found = []
    with pytest.raises(DataError, match="holds no sample"):
        for buffer in Gatherer(scan.header).gather(readouts):
            found.append(buffer.reference.idx.slice)
    assert found == [0, 1, 2]


def test_a_later_repetition_completes_the_one_before(make_scan):
    scan = make_scan()
    readouts = [one for r in range(3) for one in scan.readouts(scan.image(r), repetition=r)]
    gatherer = Gatherer(scan.header)
    counts = [len(gatherer.add(one)) for one in readouts]
    assert np.flatnonzero(counts).tolist() == [8, 16]
    (last,) = gatherer.finish()
    assert last.reference.idx.repetition == 2


def test_segments_that_never_come_do_not_hold_up_later_repetitions(make_scan):
    # Siemens' converter declares one too many, and those that acceleration leaves out.
    scan = make_scan(limits={"segment": (0, 2, 0), "slice": (0, 1, 0)})
    gatherer = Gatherer(scan.header)
    done = []
    for repetition, number in itertools.product(range(4), range(2)):
        counters = {"repetition": repetition, "slice": number}
        image = scan.image(2 * repetition + number)
        readouts = scan.readouts(image, ky=range(0, 8, 2), segment=0, **counters)
        readouts += scan.readouts(image, ky=range(1, 8, 2), segment=1, **counters)
        last = ("LAST_IN_REPETITION", "LAST_IN_MEASUREMENT") if number == 1 else ()
        _flag(readouts[-1], "LAST_IN_SLICE", *last)
        done.append(sum(len(gatherer.add(one)) for one in readouts))
    assert done == [0, 1, 1, 1, 1, 1, 1, 1]
    (buffer,) = gatherer.finish()
    assert buffer.kspace.mask.all()


def test_memory_is_that_of_one_repetition(make_scan):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    gatherer = Gatherer(scan.header)
    for repetition in range(50):
        for one in readouts:
            one.idx.repetition = repetition
            gatherer.add(one)
    assert len(gatherer._open) == 1


@pytest.mark.parametrize("name", ["contrast", "phase", "set"])
def test_counters_that_separate_images(make_scan, name):
    scan = make_scan()
    readouts = [one for i in range(2) for one in scan.readouts(scan.image(i), **{name: i})]
    buffers = _gather(scan.header, readouts)
    assert [getattr(buffer.reference.idx, name) for buffer in buffers] == [0, 1]


def test_segments_only_order_the_lines(make_scan):
    scan = make_scan()
    readouts = [
        one for s in (0, 1) for one in scan.readouts(scan.image(), range(s, 8, 2), segment=s)
    ]
    (buffer,) = _gather(scan.header, readouts)
    assert buffer.kspace.mask.all()


def test_undersampled_lines_make_the_mask(make_scan):
    scan = make_scan()
    lines = [0, 3, 4, 7]
    (buffer,) = _gather(scan.header, scan.readouts(scan.image(), ky=lines))
    assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == lines
    assert buffer.kspace.acceleration == 2
    assert (buffer.headers["number_of_samples"][0] > 0).tolist() == [ky in lines for ky in range(8)]


@pytest.mark.parametrize("mode", ["embedded", "interleaved"])
def test_calibration_lines_of_the_same_contrast_are_image_lines(make_scan, mode):
    scan = make_scan(calibration=mode)
    readouts = scan.readouts(scan.image(), ky=[0, 2, 3, 4, 6])
    _flag(readouts[2], "IS_PARALLEL_CALIBRATION")
    _flag(readouts[3], "IS_PARALLEL_CALIBRATION_AND_IMAGING")
    (buffer,) = _gather(scan.header, readouts)
    assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == [0, 2, 3, 4, 6]
    assert buffer.kspace.calibration is None


@pytest.mark.parametrize("flag", ["CALIBRATION", "CALIBRATION_AND_IMAGING"])
@pytest.mark.parametrize("counter", ["contrast", "repetition"])
def test_calibration_lines_of_one_image_serve_those_without(make_scan, counter, flag):
    scan = make_scan(calibration="embedded")
    first = scan.readouts(scan.image(), ky=[0, 2, 3, 4, 5, 6])
    for one in first[2:5]:
        _flag(one, f"IS_PARALLEL_{flag}")
    second, other_slice = (
        scan.readouts(scan.image(1), ky=[0, 2, 4, 6], **numbers)
        for numbers in ({counter: 1}, {counter: 1, "slice": 1})
    )
    own, borrowed, none = (
        buffer.kspace for buffer in _gather(scan.header, [*first, *second, *other_slice])
    )
    assert own.calibration is None
    assert none.calibration is None
    assert np.flatnonzero(borrowed.mask.any((0, 2))).tolist() == [0, 2, 4, 6]
    assert np.flatnonzero(borrowed.calibration.mask.any((0, 2))).tolist() == [3, 4, 5]
    lines = slice(3, 6)
    np.testing.assert_array_equal(borrowed.calibration.data[..., lines, :], own.data[..., lines, :])


def _interleaved(scan, count: int, **numbers: int) -> list[list[ismrmrd.Acquisition]]:
    """Readouts of images of which each measures every other line in turn."""
    return [
        scan.readouts(scan.image(i), range(i % 2, 8, 2), repetition=i, **numbers)
        for i in range(count)
    ]


def test_interleaved_images_are_calibrated_with_the_lines_of_all(make_scan):
    scan = make_scan(calibration="interleaved")
    images = _interleaved(scan, 4)
    gatherer = Gatherer(scan.header)
    buffers, counts = [], []
    for image in images:
        _flag(image[-1], "LAST_IN_SLICE")
        buffers += [buffer for one in image for buffer in gatherer.add(one)]
        counts.append(len(buffers))
    buffers += gatherer.finish()
    # The first one waits for the lines of the second, whose flag counts when the third begins.
    assert counts == [0, 0, 2, 3]
    assert [one.reference.idx.repetition for one in buffers] == [0, 1, 2, 3]
    for number, buffer in enumerate(buffers):
        assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == [*range(number % 2, 8, 2)]
        assert buffer.kspace.calibration.mask.all()


def test_interleaved_images_that_never_have_a_centre_wait_for_a_few_others_alone(make_scan):
    scan = make_scan(calibration="interleaved")
    images = [scan.readouts(scan.image(i), [1, 3, 5, 7], repetition=i) for i in range(5)]
    gatherer = Gatherer(scan.header)
    counts = [sum(len(gatherer.add(one)) for one in image) for image in images]
    assert counts == [0, 0, 1, 1, 1]
    assert len(list(gatherer.finish())) == 2


def test_interleaved_slices_wait_each_for_its_own_lines(make_scan):
    scan = make_scan(calibration="interleaved")
    slices = [_interleaved(scan, 3, slice=number) for number in range(2)]
    readouts = [one for pair in zip(*slices, strict=True) for image in pair for one in image]
    buffers = _gather(scan.header, readouts)
    assert [(one.reference.idx.repetition, one.reference.idx.slice) for one in buffers] == [
        (repetition, number) for repetition in range(3) for number in range(2)
    ]
    assert all(one.kspace.calibration.mask.all() for one in buffers)


def test_flagged_lines_of_interleaved_images_do_not_replace_those_of_all(make_scan):
    scan = make_scan(calibration="interleaved")
    images = _interleaved(scan, 4)
    for image in images:
        _flag(image[2], "IS_PARALLEL_CALIBRATION_AND_IMAGING")
    for buffer in _gather(scan.header, [one for image in images for one in image]):
        weight = buffer.kspace.calibration.weight
        assert weight.min() >= 1
        assert weight.max() <= 2


def test_interleaved_contrasts_wait_each_for_its_own_lines(make_scan):
    scan = make_scan(calibration="interleaved")
    contrasts = [_interleaved(scan, 2, contrast=number) for number in range(2)]
    readouts = [one for pair in zip(*contrasts, strict=True) for image in pair for one in image]
    for buffer in _gather(scan.header, readouts):
        assert buffer.kspace.calibration.mask.all()


@pytest.mark.parametrize("mode", ["separate", "external", None])
def test_calibration_lines_of_another_contrast_stay_apart(make_scan, mode):
    scan = make_scan(calibration=mode)
    calibration = scan.readouts(scan.image(5), ky=[3, 4, 5])
    for one in calibration:
        _flag(one, "IS_PARALLEL_CALIBRATION")
    _flag(calibration[-1], "LAST_IN_SLICE")
    readouts = [
        one for r in range(2) for one in scan.readouts(scan.image(r), [0, 2, 4, 6], repetition=r)
    ]
    buffers = _gather(scan.header, [*calibration, *readouts])
    expected = fftc(scan.cropped(scan.image(5)), AXES)[..., 3:6, :]
    assert len(buffers) == 2
    for buffer in buffers:
        assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == [0, 2, 4, 6]
        calibration = buffer.kspace.calibration
        assert np.flatnonzero(calibration.mask.any((0, 2))).tolist() == [3, 4, 5]
        np.testing.assert_allclose(calibration.data[..., 3:6, :], expected, atol=1e-5)


def test_calibration_of_the_right_slice_is_used(make_scan):
    scan = make_scan(calibration="separate")
    readouts = []
    for i in range(2):
        readouts += [
            _flag(one, "IS_PARALLEL_CALIBRATION")
            for one in scan.readouts(scan.image(10 + i), ky=[4], slice=i)
        ]
    for i in range(2):
        readouts += scan.readouts(scan.image(i), ky=[0, 4], slice=i)
    for i, buffer in enumerate(_gather(scan.header, readouts)):
        expected = fftc(scan.cropped(scan.image(10 + i)), AXES)
        np.testing.assert_allclose(
            buffer.kspace.calibration.data[..., 4, :], expected[..., 4, :], atol=1e-5
        )


@pytest.mark.parametrize(
    ("fov", "mode", "used"),
    [(16.0, "separate", True), (20.0, "separate", False), (16.0, "embedded", True)],
)
def test_calibration_lines_may_have_a_smaller_encoding_space(make_scan, caplog, fov, mode, used):
    scan = make_scan(calibration=mode)
    small = make_scan(
        calibration="separate", encoded=(12, 4, 1), recon=(6, 4, 1), encoded_fov=(32.0, fov, 5.0)
    )
    header = replace(scan.header, encodings=scan.header.encodings + small.header.encodings)
    image = scan.image()
    middle = fftc(image, AXES)[..., 2:6, 2:14]
    calibration = small.readouts(ifftc(middle, AXES))
    for one in calibration:
        _flag(one, "IS_PARALLEL_CALIBRATION").encoding_space_ref = 1
    readouts = scan.readouts(image, ky=[0, 2, 4, 6])
    (buffer,) = _gather(header, [*calibration, *readouts])
    got = buffer.kspace.calibration
    assert (got is not None) == used
    assert ("cover another field of view" in caplog.text) == (fov != 16.0)
    if got is not None:
        assert got.data.shape == buffer.kspace.data.shape
        assert np.flatnonzero(got.mask.any((0, 2))).tolist() == [2, 3, 4, 5]
        assert np.flatnonzero(got.mask.any((0, 1))).tolist() == [1, 2, 3, 4, 5, 6]


def test_an_asymmetric_echo_leaves_kx_unmeasured(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    image = scan.image()
    full = fftc(image, AXES)
    readouts = scan.readouts(image)
    short = []
    for one in readouts:
        head = one.getHead()
        head.number_of_samples, head.center_sample = 12, 4
        short.append(ismrmrd.Acquisition(head, np.ascontiguousarray(one.data[:, 4:])))
    (buffer,) = _gather(scan.header, short)
    assert buffer.kspace.mask[0, 0].tolist() == [False] * 4 + [True] * 12
    np.testing.assert_allclose(buffer.kspace.data[..., 4:], full[..., 4:], atol=1e-5)


def test_discarded_samples_are_not_measured(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    readouts = scan.readouts(scan.image())
    for one in readouts:
        one.discard_pre, one.discard_post = 3, 2
    (buffer,) = _gather(scan.header, readouts)
    assert buffer.kspace.mask[0, 0].tolist() == [False] * 3 + [True] * 11 + [False] * 2


def test_reversed_readouts_are_turned_round(make_scan):
    scan = make_scan()
    image = scan.image()
    readouts = []
    for one in scan.readouts(image):
        turned = ismrmrd.Acquisition(one.getHead(), np.ascontiguousarray(one.data[:, ::-1]))
        readouts.append(_flag(turned, "IS_REVERSE"))
    (buffer,) = _gather(scan.header, readouts)
    np.testing.assert_allclose(ifftc(buffer.kspace.data, AXES), scan.cropped(image), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "IS_NOISE_MEASUREMENT",
        "IS_NAVIGATION_DATA",
        "IS_PHASECORR_DATA",
        "IS_DUMMYSCAN_DATA",
        "IS_RTFEEDBACK_DATA",
        "IS_HPFEEDBACK_DATA",
        "IS_SURFACECOILCORRECTIONSCAN_DATA",
    ],
)
def test_what_is_not_image_data_is_left_out(make_scan, name):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    other = _flag(scan.readout(np.full((2, 5), np.nan), kspace_encode_step_1=99), name)
    (buffer,) = _gather(scan.header, [other, *readouts, other])
    assert buffer.kspace.mask.all()


@pytest.mark.parametrize("calibration", [None, "embedded"])
def test_lines_that_are_all_flagged_for_coil_correction_are_image_lines(make_scan, calibration):
    # Siemens' converter writes MDH_RAWDATACORRECTION so.
    scan = make_scan(calibration=calibration)
    image = scan.image()
    readouts = [_flag(one, "IS_SURFACECOILCORRECTIONSCAN_DATA") for one in scan.readouts(image)]
    if calibration:
        _flag(readouts[3], "IS_PARALLEL_CALIBRATION")
        readouts.insert(0, _flag(scan.readouts(image)[4], "IS_PARALLEL_CALIBRATION"))
        del readouts[5]
    (buffer,) = _gather(scan.header, readouts)
    np.testing.assert_allclose(ifftc(buffer.kspace.data, AXES), scan.cropped(image), atol=1e-5)


def test_a_scan_for_coil_correction_before_the_image_is_not_averaged_with_it(make_scan):
    scan = make_scan()
    image = scan.image(1)
    flagged = [_flag(one, "IS_SURFACECOILCORRECTIONSCAN_DATA") for one in scan.readouts(image)]
    _flag(flagged[-1], "LAST_IN_SLICE")
    readouts = scan.readouts(scan.image())
    (buffer,) = _gather(scan.header, [*flagged, *readouts, *flagged])
    np.testing.assert_allclose(buffer.kspace.weight, 1)
    np.testing.assert_allclose(
        ifftc(buffer.kspace.data, AXES), scan.cropped(scan.image()), atol=1e-5
    )


def test_lines_with_nan_count_as_not_measured(make_scan, caplog):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    readouts[0].data[0, 3] = np.nan
    readouts[5].data[2, 3] = np.inf
    (buffer,) = _gather(scan.header, readouts)
    assert np.flatnonzero(~buffer.kspace.mask.any((0, 2))).tolist() == [0, 5]
    assert np.isfinite(buffer.kspace.data).all()
    assert "not finite" in caplog.text


def test_damaged_samples_are_no_warning_of_numpy(make_scan, caplog):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    readouts[0].data[0, 3:5] = np.inf, -np.inf
    readouts[5].data[2] = np.finfo(np.float32).max
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _gather(scan.header, readouts)
    assert caplog.messages == [
        "Readout 0 holds samples that are not finite; its line counts as not measured."
    ]


def test_a_spike_costs_nothing_but_a_warning(make_scan, caplog):
    scan = make_scan(
        encoded=(256, 16, 1), encoded_fov=(32.0, 16.0, 5.0), recon_fov=(16.0, 16.0, 5.0)
    )
    random = np.random.default_rng(0)
    readouts = scan.readouts(scan.image())
    for readout in readouts:
        readout.data[:] = random.normal(size=(*readout.data.shape, 2)).view(np.complex128)[..., 0]
    (clean,) = _gather(scan.header, readouts)
    readouts[5].data[:, 77] += 1000
    assert not caplog.messages
    (buffer,) = _gather(scan.header, readouts)
    assert np.abs(buffer.kspace.data - clean.kspace.data).max() < 10
    assert "Removed from the readouts of encoding 0, slice 0" in caplog.text
    assert "1 spike." in caplog.text


@pytest.mark.parametrize("corrected", [False, True])
def test_echo_trains_that_nobody_has_corrected_are_told_of_once(make_scan, caplog, corrected):
    scan = make_scan()
    description = b"<trajectoryDescription><identifier>ConventionalEPI</identifier>"
    xml = scan.xml.replace(b"</encoding>", description + b"</trajectoryDescription></encoding>")
    image = scan.image()
    if corrected:
        full = fftc(scan.cropped(image), AXES).astype(np.complex64)
        readouts = [scan.readout(full[:, 0, ky], kspace_encode_step_1=ky) for ky in range(8)]
    else:
        readouts = [one for i in range(2) for one in scan.readouts(image, slice=i)]
    _gather(parse_header(xml), readouts)
    assert caplog.text.count("samples on gradient ramps") == (0 if corrected else 1)


@pytest.mark.parametrize("kind", ["2D", "3D"])
def test_partitions_that_are_counted_as_slices_are_told_of_once(make_scan, caplog, kind):
    scan = make_scan(encoded=(16, 8, 2), limits={"slice": (0, 1, 0)})
    parameter = f"<name>mrAcquisitionType</name><value>{kind}</value>"
    parameters = f"<userParameterString>{parameter}</userParameterString>"
    end = "</ismrmrdHeader>"
    xml = scan.xml.decode().replace(end, f"<userParameters>{parameters}</userParameters>{end}")
    image = scan.image()
    readouts = [one for i in range(2) for one in scan.readouts(image, kz=[0], slice=i)]
    assert len(_gather(parse_header(xml.encode()), readouts)) == 2
    assert caplog.text.count("counted as slices") == (1 if kind == "3D" else 0)


def test_lines_of_zeros_count_as_not_measured(make_scan, caplog):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    for one in (*readouts[:2], readouts[4]):
        one.data[:] = 0
    (buffer,) = _gather(scan.header, readouts)
    assert np.flatnonzero(~buffer.kspace.mask.any((0, 2))).tolist() == [0, 1, 4]
    assert buffer.reference.idx.kspace_encode_step_1 in (3, 5)
    assert caplog.text.count("Lines of nothing but zeros count as not measured") == 1


def test_an_image_of_nothing_but_zeros_is_one(make_scan):
    scan = make_scan(calibration="embedded")
    readouts = scan.readouts(0 * scan.image())
    readouts[3] = _flag(scan.readouts(scan.image())[3], "IS_PARALLEL_CALIBRATION")
    (buffer,) = _gather(scan.header, readouts)
    assert buffer.kspace.mask.all()


def test_an_image_of_nothing_but_nan_is_an_error_after_the_others(make_scan):
    scan = make_scan()
    bad = scan.readouts(scan.image(), slice=0)
    for one in bad:
        one.data[:] = np.nan
    gatherer = Gatherer(scan.header)
    for one in [*bad, *scan.readouts(scan.image(), slice=1)]:
        gatherer.add(one)
    rest = gatherer.finish()
    assert next(rest).reference.idx.slice == 1
    with pytest.raises(DataError, match="slice 0"):
        next(rest)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("first", [True, False])
def test_an_image_of_fewer_coils_than_the_others_is_an_image(make_scan, interleaved, first):
    scan = make_scan()
    stacks = [scan.readouts(scan.image(), slice=number) for number in range(3)]
    fewer = 0 if first else 2
    stacks[fewer] = [
        scan.readout(one.data[:2], kspace_encode_step_1=line, slice=fewer)
        for line, one in enumerate(stacks[fewer])
    ]
    lines = zip(*stacks, strict=True) if interleaved else stacks
    buffers = _gather(scan.header, [one for some in lines for one in some])
    found = {b.reference.idx.slice: len(b.kspace.data) for b in buffers}
    assert found == {0: 3, 1: 3, 2: 3} | {fewer: 2}
    assert all(buffer.kspace.mask.all() for buffer in buffers)


def test_a_change_of_coils_is_an_error(make_scan):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    readouts[3] = scan.readout(readouts[3].data[:2], kspace_encode_step_1=3)
    with pytest.raises(DataError, match="has 2 coils, but the ones before had 3"):
        _gather(scan.header, readouts)


@pytest.mark.parametrize(("announced", "lost"), [(3, []), (8, [0]), (None, [0])])
def test_the_coils_of_most_readouts_count_and_not_those_of_the_first(make_scan, announced, lost):
    system = f"<receiverChannels>{announced}</receiverChannels>" if announced else ""
    extra = f"<acquisitionSystemInformation>{system}</acquisitionSystemInformation>"
    scan = make_scan(extra=extra)
    readouts = scan.readouts(scan.image())
    stray = scan.readout(readouts[3].data[:2], kspace_encode_step_1=3)
    buffers = []
    with pytest.raises(DataError, match="coils"):
        for buffer in Gatherer(scan.header).gather([stray, *readouts]):
            buffers.append(buffer)
    (buffer,) = buffers
    assert buffer.kspace.data.shape[0] == 3
    assert np.flatnonzero(~buffer.kspace.mask.any(axis=(0, -1))).tolist() == lost


def test_a_line_outside_the_matrix_is_an_error(make_scan):
    scan = make_scan()
    with pytest.raises(DataError, match="outside the encoded matrix"):
        _gather(scan.header, [scan.readout(np.ones((3, 16)), kspace_encode_step_1=8)])


@pytest.mark.parametrize("count", [0, 2])
def test_noise_alone_is_an_error(make_scan, count):
    scan = make_scan()
    noise = _flag(scan.readout(np.ones((3, 16))), "IS_NOISE_MEASUREMENT")
    with pytest.raises(DataError, match="No image readout came"):
        _gather(scan.header, [noise] * count)


def test_geometry_and_time_come_from_the_central_line(make_scan):
    scan = make_scan()
    (buffer,) = _gather(scan.header, scan.readouts(scan.image(), ky=[0, 3, 5, 7]))
    reference = buffer.reference
    assert reference.idx.kspace_encode_step_1 == 3
    assert reference.acquisition_time_stamp == 1003
    assert tuple(reference.position) == (1.5, -2.5, 3.5)
    assert tuple(reference.read_dir) == (1, 0, 0)


def test_readouts_are_not_changed(make_scan):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    before = [one.to_bytes() for one in readouts]
    _gather(scan.header, readouts)
    assert [one.to_bytes() for one in readouts] == before


def test_readouts_cropped_before_are_not_cropped_again(make_scan):
    scan = make_scan()
    image = scan.image()
    kspace = fftc(scan.cropped(image), AXES)
    readouts = [scan.readout(kspace[:, 0, ky], kspace_encode_step_1=ky) for ky in range(8)]
    (buffer,) = _gather(scan.header, readouts)
    np.testing.assert_allclose(ifftc(buffer.kspace.data, AXES), scan.cropped(image), atol=1e-5)
    assert buffer.field_of_view == (16.0, 16.0, 5.0)


def test_a_bucket_does_not_count_shared_lines_twice(make_scan):
    scan = make_scan(calibration="embedded")
    readouts = scan.readouts(scan.image(), ky=[0, 2, 3, 4, 6])
    _flag(readouts[2], "IS_PARALLEL_CALIBRATION")
    _flag(readouts[3], "IS_PARALLEL_CALIBRATION_AND_IMAGING")
    _flag(readouts[4], "LAST_IN_SLICE")
    bucket = AcquisitionBucket(
        data=[readouts[i] for i in (0, 1, 3, 4)], calibration=[readouts[i] for i in (2, 3)]
    )
    (buffer,) = from_bucket(bucket, scan.header)
    (expected,) = _gather(scan.header, readouts)
    np.testing.assert_array_equal(buffer.kspace.data, expected.kspace.data)
    np.testing.assert_array_equal(buffer.kspace.weight, expected.kspace.weight)
    assert buffer.kspace.weight.max() == 1


def test_calibration_lines_of_a_bucket_before_serve_the_next_repetition(make_scan):
    scan = make_scan(calibration="separate")
    calibration = scan.readouts(scan.image(), ky=[3, 4, 5])
    for one in calibration:
        _flag(one, "IS_PARALLEL_CALIBRATION")
    first, second = (scan.readouts(scan.image(), ky=[0, 2, 4, 6], repetition=i) for i in range(2))
    lines = CalibrationLines(pytest.fail)
    (one,) = from_bucket(AcquisitionBucket(first, calibration), scan.header, lines)
    (other,) = from_bucket(AcquisitionBucket(second), scan.header, lines)
    np.testing.assert_array_equal(other.kspace.calibration.data, one.kspace.calibration.data)


def test_an_empty_bucket_gives_nothing(make_scan):
    assert list(from_bucket(AcquisitionBucket(), make_scan().header)) == []


def test_an_image_keeps_its_calibration_when_that_of_the_next_repetition_begins(make_scan):
    scan = make_scan(calibration="separate")

    def repetition(number: int) -> list[ismrmrd.Acquisition]:
        calibration = scan.readouts(scan.image(number), ky=[3, 4, 5], repetition=number)
        for one in calibration:
            one.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        lines = scan.readouts(scan.image(number), ky=[0, 2, 4, 6], repetition=number)
        return [*calibration, *lines]

    buffers = _gather(scan.header, [one for number in range(3) for one in repetition(number)])
    assert len(buffers) == 3
    for number, buffer in enumerate(buffers):
        (alone,) = _gather(scan.header, repetition(number))
        np.testing.assert_array_equal(buffer.kspace.calibration.data, alone.kspace.calibration.data)


@pytest.mark.parametrize("averages", [{}, {"average": (0, 0, 0)}])
def test_all_images_come_before_the_error_of_a_readout_among_them(make_scan, averages):
    scan = make_scan(limits=averages)
    readouts = scan.readouts(scan.image(), slice=0)
    _flag(readouts[-1], "LAST_IN_SLICE")
    wrong = ismrmrd.Acquisition(readouts[0].getHead())
    wrong.resize(readouts[0].number_of_samples, readouts[0].active_channels + 1)
    wrong.idx.slice = 1
    unfinished = scan.readouts(scan.image(), ky=[4], slice=2)
    found = []
    with pytest.raises(DataError, match="coils"):
        for buffer in Gatherer(scan.header).gather([*unfinished, *readouts, wrong]):
            found.append(buffer.reference.idx.slice)
    assert found == [0, 2]


def test_complete_images_come_before_the_error_of_the_stream(make_scan):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    _flag(readouts[-1], "LAST_IN_SLICE")

    def stream():
        yield from readouts
        raise StreamError("torn")

    buffers = Gatherer(scan.header).gather(stream())
    assert next(buffers).kspace.mask.all()
    with pytest.raises(StreamError, match="torn"):
        next(buffers)


def test_an_image_that_is_flagged_twice_is_told_of(make_scan, caplog):
    scan = make_scan(limits={"average": (0, 0, 0)})
    readouts = scan.readouts(scan.image())
    _flag(readouts[-1], "LAST_IN_SLICE")
    assert len(_gather(scan.header, readouts * 2)) == 2
    assert "another image is made of them" in caplog.text


def test_lines_that_do_not_fit_the_calibration_before_them_cost_no_other_image(make_scan):
    scan = make_scan(calibration="embedded")
    image = scan.image()
    full = fftc(scan.cropped(image), AXES).astype(np.complex64)
    cropped = scan.readout(full[:, 0, 4], kspace_encode_step_1=4)
    _flag(cropped, "IS_PARALLEL_CALIBRATION")
    misfits = scan.readouts(image, ky=[3, 5])
    gatherer = Gatherer(scan.header)
    buffers = []
    for readout in [cropped, *misfits, *scan.readouts(image, slice=1)]:
        buffers += gatherer.add(readout)
    with pytest.raises(DataError, match="covers kx"):
        for buffer in gatherer.finish():
            buffers.append(buffer)
    assert [buffer.reference.idx.slice for buffer in buffers] == [1]
