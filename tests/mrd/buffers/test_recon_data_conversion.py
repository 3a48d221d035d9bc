from __future__ import annotations

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
from wire_bytes import messages_in

from gadget.errors import DataError
from gadget.mrd.buffers.bucket_conversion import from_bucket
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.buffers.recon_data import (
    AcquisitionBucket,
    ReconBit,
    ReconBuffer,
    ReconData,
    SamplingDescription,
)
from gadget.mrd.buffers.recon_data_conversion import from_recon_data, to_recon_data
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.mri.operators.fourier import fftc
from gadget.stream.wire.codec import decode, encode_bytes

NAVIGATOR = flags.bits(ismrmrd.ACQ_IS_NAVIGATION_DATA)


def _gather(header, readouts):
    gatherer = Gatherer(header)
    return [one for a in readouts for one in gatherer.add(a)] + list(gatherer.finish())


def _as_gadgetron(readouts, ny: int, nz: int = 1, n: int = 1, offset: int | None = None):
    """Lay readouts as `BucketToBufferGadget` does, with one set of lines for every repetition."""
    head = readouts[0].getHead()
    count = head.number_of_samples - head.discard_pre - head.discard_post
    width = count if offset is None else head.number_of_samples
    data = np.zeros((1, 1, n, head.active_channels, nz, ny, width), np.complex64)
    headers = np.zeros((1, 1, n, nz, ny), HEADER_DTYPE)
    for one in readouts:
        idx = one.idx
        at = idx.repetition + idx.average
        kept = one.data[:, one.discard_pre : one.number_of_samples - one.discard_post]
        start = offset or 0
        line = idx.kspace_encode_step_2, idx.kspace_encode_step_1
        data[(0, 0, at, slice(None), *line)][:, start : start + count] = kept
        headers[(0, 0, at, *line)] = np.frombuffer(bytes(one.getHead()), HEADER_DTYPE)[0]
    sampling = SamplingDescription()
    sampling.sampling_limits[0].center = head.number_of_samples // 2
    return ReconBuffer(data, headers, sampling)


def _same(one, other):
    np.testing.assert_array_equal(one.kspace.weight, other.kspace.weight)
    np.testing.assert_allclose(one.kspace.data, other.kspace.data, atol=1e-5)
    assert bytes(one.reference) == bytes(other.reference)
    assert one.field_of_view == other.field_of_view


def test_the_three_recordings_give_the_same_kspace(recorded):
    header, readouts = recorded("acq")
    (plain,) = _gather(header, readouts)
    header, buckets = recorded("bucket")
    (bucket,) = [one for item in buckets for one in from_bucket(item, header)]
    header, buffers = recorded("buffer")
    (buffer,) = [one for item in buffers for one in from_recon_data(item, header)]
    assert np.count_nonzero(plain.kspace.mask.any((0, 2))) == 142
    for other in (bucket, buffer):
        np.testing.assert_array_equal(plain.kspace.data, other.kspace.data)
        _same(plain, other)


def test_what_gather_packs_is_unpacked_unchanged(make_scan):
    scan = make_scan(calibration="separate")
    calibration = scan.readouts(scan.image(5), ky=[4])
    for one in calibration:
        one.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    lines = [*scan.readouts(scan.image(), ky=[0, 2, 4]), *scan.readouts(scan.image(1), ky=[4])]
    (packed,) = _gather(scan.header, [*calibration, *lines])
    recon_data = to_recon_data(packed)
    buffer = recon_data.bits[0].data
    assert buffer.data.shape == (1, 1, 1, 3, 1, 8, 8)
    assert buffer.density.shape == (1, 1, 1, 1, 8, 8)
    assert buffer.density[0, 0, 0, 0, 4, 0] == 2
    assert list(buffer.sampling.encoded_matrix) == [8, 8, 1]
    assert list(buffer.sampling.encoded_FOV) == [16, 16, 5]
    limit = buffer.sampling.sampling_limits[1]
    assert (limit.min, limit.center, limit.max) == (0, 4, 4)
    (sent,) = messages_in(encode_bytes(recon_data))
    (unpacked,) = from_recon_data(decode(sent), scan.header)
    _same(packed, unpacked)
    np.testing.assert_array_equal(packed.kspace.calibration.data, unpacked.kspace.calibration.data)


def test_blank_headers_make_the_mask_of_a_foreign_buffer(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="embedded")
    readouts = scan.readouts(scan.image(), ky=[0, 4, 5])
    (buffer,) = from_recon_data(ReconData([ReconBit(_as_gadgetron(readouts, 8))]), scan.header)
    (expected,) = _gather(scan.header, readouts)
    _same(buffer, expected)


def test_lines_of_zeros_are_not_measured_where_all_headers_are_filled(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    readouts = scan.readouts(scan.image())
    for ky in (1, 6):
        readouts[ky].data[:] = 0
    (buffer,) = from_recon_data(ReconData([ReconBit(_as_gadgetron(readouts, 8))]), scan.header)
    assert np.flatnonzero(~buffer.kspace.mask.any((0, 2))).tolist() == [1, 6]


def test_foreign_buffers_that_still_are_oversampled_are_cropped(make_scan):
    scan = make_scan()
    readouts = scan.readouts(scan.image(), ky=[0, 4, 5])
    (buffer,) = from_recon_data(ReconData([ReconBit(_as_gadgetron(readouts, 8))]), scan.header)
    (expected,) = _gather(scan.header, readouts)
    _same(buffer, expected)


@pytest.mark.parametrize("parallel", [True, False])
def test_an_asymmetric_echo_in_a_foreign_buffer(make_scan, parallel):
    """Without a parallelImaging section Gadgetron's buffer is as short as the valid samples."""
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="embedded" if parallel else None)
    readouts = scan.readouts(scan.image())
    for one in readouts:
        one.data[:, :4] = 0
        one.discard_pre = 4
    buffer = _as_gadgetron(readouts, 8, offset=4 if parallel else None)
    assert buffer.data.shape[-1] == (16 if parallel else 12)
    (buffer,) = from_recon_data(ReconData([ReconBit(buffer)]), scan.header)
    (expected,) = _gather(scan.header, readouts)
    _same(buffer, expected)
    assert buffer.kspace.mask[0, 0].tolist() == [False] * 4 + [True] * 12


def test_navigators_in_a_foreign_buffer_are_no_lines(make_scan):
    """Gadgetron lays them on the line that their counters name, the last one that came."""
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    readouts = scan.readouts(scan.image())
    head = readouts[4].getHead()
    head.flags = NAVIGATOR
    readouts[4] = ismrmrd.Acquisition(head, 1000 * readouts[4].data)
    (buffer,) = from_recon_data(ReconData([ReconBit(_as_gadgetron(readouts, 8))]), scan.header)
    assert np.flatnonzero(~buffer.kspace.mask.any((0, 2))).tolist() == [4]
    assert buffer.reference.flags == 0


def test_lines_of_a_foreign_buffer_that_are_all_flagged_for_coil_correction_are_measured(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    readouts = scan.readouts(scan.image(), ky=[0, 2, 4, 6])
    for one in readouts:
        one.set_flag(ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
    (buffer,) = from_recon_data(ReconData([ReconBit(_as_gadgetron(readouts, 8))]), scan.header)
    assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == [0, 2, 4, 6]


def test_partitions_that_are_counted_as_slices_are_told_of(make_scan):
    scan = make_scan()
    encoding = replace(scan.header.encodings[0], partitions_as_slices=True)
    header = replace(scan.header, encodings=(encoding,))
    foreign = _as_gadgetron(scan.readouts(scan.image()), ny=8)
    warnings = []
    data = ReconData([ReconBit(foreign)])
    assert len(list(from_recon_data(data, header, None, warnings.append))) == 1
    assert len(warnings) == 1
    assert "counted as slices" in warnings[0]


def test_navigators_alone_are_no_image(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    image = scan.readouts(scan.image())
    navigators = scan.readouts(scan.image(), ky=[4], repetition=1)
    for one in navigators:
        one._head.flags = NAVIGATOR
    both = _as_gadgetron([*image, *navigators], 8, n=2)
    (buffer,) = from_recon_data(ReconData([ReconBit(both)]), scan.header)
    assert buffer.reference.idx.repetition == 0
    with pytest.raises(DataError, match="navigators"):
        list(from_recon_data(ReconData([ReconBit(_as_gadgetron(navigators, 8, n=2))]), scan.header))


@pytest.mark.parametrize("discarded", [0, 3])
def test_reversed_lines_in_a_foreign_buffer_are_turned_round(make_scan, discarded):
    """As in the second of two echoes: Gadgetron would show it the wrong way round."""
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="embedded")
    readouts = []
    for one in scan.readouts(scan.image()):
        head = one.getHead()
        head.flags, head.discard_pre = flags.REVERSE, discarded
        readouts.append(ismrmrd.Acquisition(head, np.ascontiguousarray(one.data[:, ::-1])))
    laid = _as_gadgetron(readouts, 8, offset=discarded)
    (buffer,) = from_recon_data(ReconData([ReconBit(laid)]), scan.header)
    (expected,) = _gather(scan.header, readouts)
    _same(buffer, expected)


def test_averages_in_one_message_are_one_image_and_repetitions_are_several(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    for counter, count in (("average", 1), ("repetition", 2)):
        readouts = [one for i in range(2) for one in scan.readouts(scan.image(i), **{counter: i})]
        bits = [ReconBit(_as_gadgetron(readouts, 8, n=2))]
        buffers = list(from_recon_data(ReconData(bits), scan.header))
        assert len(buffers) == count
        for buffer, expected in zip(buffers, _gather(scan.header, readouts), strict=True):
            _same(buffer, expected)


def test_embedded_calibration_lines_fill_the_gaps(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="embedded")
    readouts = scan.readouts(scan.image())
    image = _as_gadgetron([readouts[i] for i in (0, 2, 4, 6)], 8)
    calibration = _as_gadgetron([readouts[i] for i in (3, 4, 5)], 8)
    (buffer,) = from_recon_data(ReconData([ReconBit(image, calibration)]), scan.header)
    assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == [0, 2, 3, 4, 5, 6]
    assert buffer.kspace.weight.max() == 1
    assert buffer.kspace.calibration is None


def test_separate_calibration_lines_are_placed_by_their_headers(make_scan):
    scan = make_scan(
        encoded_fov=(16.0, 16.0, 5.0),
        calibration="separate",
        limits={"kspace_encoding_step_1": (0, 7, 4)},
    )
    readouts = scan.readouts(scan.image())
    image = _as_gadgetron([readouts[i] for i in (0, 2, 4, 6)], 8)
    calibration = _as_gadgetron([readouts[i] for i in (3, 4, 5)], 8)
    # Gadgetron lets such lines begin at 0 and gives the buffer only as many.
    calibration.data = np.ascontiguousarray(calibration.data[..., 3:6, :])
    calibration.headers = np.ascontiguousarray(calibration.headers[..., 3:6])
    (buffer,) = from_recon_data(ReconData([ReconBit(image, calibration)]), scan.header)
    calibration = buffer.kspace.calibration
    assert np.flatnonzero(calibration.mask.any((0, 2))).tolist() == [3, 4, 5]
    full = fftc(scan.image(), (-3, -2, -1))
    np.testing.assert_allclose(calibration.data[..., 4, :], full[..., 4, :], atol=1e-5)


def test_slices_in_one_buffer_have_calibration_lines_of_their_own(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="separate")
    image, calibration = (
        [_as_gadgetron(scan.readouts(scan.image(i), ky=lines, slice=i), 8) for i in range(2)]
        for lines in (range(0, 8, 2), [3, 4, 5])
    )
    both = [
        ReconBuffer(
            np.concatenate([one.data for one in parts]),
            np.concatenate([one.headers for one in parts]),
            parts[0].sampling,
        )
        for parts in (image, calibration)
    ]
    buffers = list(from_recon_data(ReconData([ReconBit(*both)]), scan.header))
    assert [buffer.reference.idx.slice for buffer in buffers] == [0, 1]
    for number, buffer in enumerate(buffers):
        full = fftc(scan.image(number), (-3, -2, -1))
        np.testing.assert_allclose(
            buffer.kspace.calibration.data[..., 4, :], full[..., 4, :], atol=1e-5
        )


@pytest.mark.parametrize("kind", ["buffer", "bucket"])
def test_repetitions_in_one_message_have_calibration_lines_of_their_own(make_scan, kind):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="separate")
    image, calibration = (
        [one for i in range(3) for one in scan.readouts(scan.image(i), ky=lines, repetition=i)]
        for lines in (range(0, 8, 2), [3, 4, 5])
    )
    for one in calibration:
        one.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    if kind == "bucket":
        buffers = list(from_bucket(AcquisitionBucket(image, calibration), scan.header))
    else:
        bit = ReconBit(*(_as_gadgetron(lines, 8, n=3) for lines in (image, calibration)))
        buffers = list(from_recon_data(ReconData([bit]), scan.header))
    assert [buffer.reference.idx.repetition for buffer in buffers] == [0, 1, 2]
    for number, buffer in enumerate(buffers):
        full = fftc(scan.image(number), (-3, -2, -1))
        np.testing.assert_allclose(
            buffer.kspace.calibration.data[..., 4, :], full[..., 4, :], atol=1e-5
        )


def test_calibration_lines_of_a_message_before_serve_the_next_repetition(make_scan):
    """Many scans measure them once."""
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="separate")
    even, middle = range(0, 8, 2), [3, 4, 5]
    calibration = _as_gadgetron(scan.readouts(scan.image(1), ky=middle), 8)
    first = _as_gadgetron(scan.readouts(scan.image(1), ky=even), 8)
    second = _as_gadgetron(scan.readouts(scan.image(2), ky=even, repetition=1), 8, n=2)
    other = _as_gadgetron(scan.readouts(scan.image(2), ky=even, slice=1), 8)
    lines = CalibrationLines(pytest.fail)
    used = []
    for bit in (ReconBit(first, calibration), ReconBit(second), ReconBit(other)):
        (buffer,) = from_recon_data(ReconData([bit]), scan.header, lines)
        used.append(buffer.kspace.calibration)
    np.testing.assert_array_equal(used[1].data, used[0].data)
    assert used[2] is None


def test_embedded_calibration_lines_of_a_message_before_serve_an_image_without(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="embedded")
    even, middle = range(0, 8, 2), [3, 4, 5]
    calibration = _as_gadgetron(scan.readouts(scan.image(1), ky=middle), 8)
    first = _as_gadgetron(scan.readouts(scan.image(1), ky=even), 8)
    second = _as_gadgetron(scan.readouts(scan.image(2), ky=even, contrast=1), 8)
    lines = CalibrationLines(pytest.fail)
    (one,) = from_recon_data(ReconData([ReconBit(first, calibration)]), scan.header, lines)
    (other,) = from_recon_data(ReconData([ReconBit(second)]), scan.header, lines)
    assert one.kspace.calibration is None
    assert np.flatnonzero(other.kspace.mask.any((0, 2))).tolist() == list(even)
    assert np.flatnonzero(other.kspace.calibration.mask.any((0, 2))).tolist() == middle


def test_interleaved_repetitions_are_calibrated_with_the_lines_of_all(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="interleaved")
    readouts = [
        one
        for number in range(2)
        for one in scan.readouts(scan.image(number), ky=range(number, 8, 2), repetition=number)
    ]
    bit = ReconBit(_as_gadgetron(readouts, 8, n=2))
    for number, buffer in enumerate(from_recon_data(ReconData([bit]), scan.header)):
        assert np.flatnonzero(buffer.kspace.mask.any((0, 2))).tolist() == [*range(number, 8, 2)]
        assert buffer.kspace.calibration.mask.all()


def test_calibration_lines_may_come_behind_the_image_they_are_for(make_scan):
    """Those of an encoding space of their own are in a further bit without image lines."""
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0), calibration="separate")
    empty = ReconBuffer(np.zeros((0,) * 7, np.complex64), np.zeros((0,) * 5, HEADER_DTYPE))
    image = _as_gadgetron(scan.readouts(scan.image(), ky=range(0, 8, 2)), 8)
    calibration = _as_gadgetron(scan.readouts(scan.image(), ky=[3, 4, 5]), 8)
    bits = [ReconBit(image), ReconBit(empty, calibration)]
    (buffer,) = from_recon_data(ReconData(bits), scan.header)
    assert np.flatnonzero(buffer.kspace.calibration.mask.any((0, 2))).tolist() == [3, 4, 5]


def test_an_empty_bit_is_passed_over(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    empty = ReconBuffer(np.zeros((0,) * 7, np.complex64), np.zeros((0,) * 5, HEADER_DTYPE))
    full = _as_gadgetron(scan.readouts(scan.image()), 8)
    (_,) = from_recon_data(ReconData([ReconBit(empty), ReconBit(full)]), scan.header)


def test_an_encoding_that_the_header_lacks_costs_itself_alone(make_scan):
    scan = make_scan(encoded_fov=(16.0, 16.0, 5.0))
    lost, found = (_as_gadgetron(scan.readouts(scan.image()), 8) for _ in range(2))
    lost.headers["encoding_space_ref"] = 1
    buffers = from_recon_data(ReconData([ReconBit(lost), ReconBit(found)]), scan.header)
    assert next(buffers).reference.encoding_space_ref == 0
    with pytest.raises(DataError, match="names encoding space 1"):
        next(buffers)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("center_sample", 99, "does not fit the encoded matrix"),
        ("discard_post", 15, "no image line"),
    ],
)
def test_a_slice_that_does_not_fit_costs_itself_alone(make_scan, field, value, sentence):
    scan = make_scan()
    slices = [_as_gadgetron(scan.readouts(scan.image(), slice=number), 8) for number in range(2)]
    slices[0].headers[field] = value
    both = ReconBuffer(
        *(np.concatenate([getattr(one, name) for one in slices]) for name in ("data", "headers"))
    )
    buffers = from_recon_data(ReconData([ReconBit(both)]), scan.header)
    assert next(buffers).reference.idx.slice == 1
    with pytest.raises(DataError, match=sentence):
        next(buffers)


def test_blank_headers_alone_are_an_error(make_scan):
    buffer = _as_gadgetron(make_scan().readouts(make_scan().image()), 8)
    buffer.headers["number_of_samples"] = 0
    with pytest.raises(DataError, match="all blank"):
        list(from_recon_data(ReconData([ReconBit(buffer)]), make_scan().header))


def test_arrays_that_do_not_fit_together_are_an_error(make_scan):
    buffer = _as_gadgetron(make_scan().readouts(make_scan().image()), 8)
    buffer.headers = buffer.headers[..., :7]
    with pytest.raises(DataError, match="must hold data"):
        list(from_recon_data(ReconData([ReconBit(buffer)]), make_scan().header))
