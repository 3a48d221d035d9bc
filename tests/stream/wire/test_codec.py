"""Messages decode to what was encoded, and nothing that is broken gets through."""

from __future__ import annotations

import ismrmrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_bytes import messages_in

from gadget.errors import StreamError
from gadget.mrd.buffers.recon_data import (
    AcquisitionBucket,
    ReconBit,
    ReconBuffer,
    ReconData,
    SamplingDescription,
)
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.stream.wire.codec import decode, decode_in_blocks, encode, encode_bytes
from gadget.stream.wire.messages import UINT16, UINT64, Message, MessageId


def round_trip(item):
    (message,) = messages_in(encode_bytes(item))
    return decode(message)


def recon_buffer(shape=(1, 1, 1, 2, 1, 4, 6)):
    random = np.random.default_rng(1)
    data = random.normal(size=(*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
    headers = np.zeros(shape[:3] + shape[4:6], HEADER_DTYPE)
    headers["scan_counter"] = random.integers(1, 99, headers.shape)
    sampling = SamplingDescription()
    sampling.encoded_matrix[:] = (6, 4, 1)
    sampling.sampling_limits[1].max = 3
    density = random.integers(0, 3, shape[:3] + shape[4:]).astype(np.float32)
    return ReconBuffer(data, headers, sampling, None, density)


@pytest.mark.parametrize("dimensions", [0, 2])
def test_acquisition_round_trip(acquisition, dimensions):
    sent = acquisition(5, coils=3, samples=7, dimensions=dimensions)
    received = round_trip(sent)
    assert received == sent
    received.data[:] = 0  # writable


def test_readouts_in_a_row_of_one_kind_are_a_block(acquisition, waveform):
    sent = [
        *(acquisition(number) for number in range(3)),
        *(acquisition(number, coils=3) for number in range(3, 5)),
        acquisition(5, coils=2),
        waveform(),
        *(acquisition(number, dimensions=2) for number in range(6, 8)),
        *(acquisition(number) for number in range(8, 10)),
    ]
    wire = b"".join(map(encode_bytes, sent))
    items = list(decode_in_blocks(messages_in(wire)))
    kinds = [len(item) if isinstance(item, ReadoutBlock) else type(item) for item in items]
    readout = ismrmrd.Acquisition
    assert kinds == [3, 2, readout, ismrmrd.Waveform, readout, readout, 2]
    assert b"".join(map(encode_bytes, items)) == wire
    assert items[0].samples.shape == (3, 2, 8)
    assert [one.scan_counter for one in items[0].since(1)] == [1, 2]


@pytest.mark.parametrize(
    ("field", "value"),
    [("flags", 1 << 6), ("sample_time_us", 7.0), ("discard_pre", 2), ("encoding_space_ref", 1)],
)
def test_readouts_of_another_kind_end_a_block(acquisition, field, value):
    other = acquisition(1)
    setattr(other._head, field, value)
    wire = b"".join(map(encode_bytes, [acquisition(0), other, acquisition(2)]))
    assert len(list(decode_in_blocks(messages_in(wire)))) == 3


def test_what_comes_before_a_damaged_readout_is_decoded(acquisition):
    good, bad = encode_bytes(acquisition())[2:], encode_bytes(acquisition(coils=3))[2:-1]
    messages = [Message(MessageId.ACQUISITION, bytearray(one)) for one in (good, good, bad)]
    items = decode_in_blocks(messages)
    assert len(next(items)) == 2
    with pytest.raises(StreamError, match="truncated"):
        next(items)


def test_acquisition_encodes_like_ismrmrd(acquisition):
    sent = acquisition(5, dimensions=2)
    assert encode_bytes(sent) == UINT16.pack(1008) + sent.to_bytes()


def test_waveform_round_trip(waveform):
    sent = waveform()
    assert encode_bytes(sent) == UINT16.pack(1026) + sent.to_bytes()
    assert round_trip(sent) == sent


@pytest.mark.parametrize(
    "dtype", [np.uint16, np.uint32, np.float32, np.float64, np.complex64, np.complex128]
)
def test_image_round_trip(dtype):
    pixels = np.arange(2 * 1 * 3 * 4).reshape(2, 1, 3, 4).astype(dtype)
    sent = ismrmrd.Image.from_array(pixels, transpose=False, image_index=4)
    sent.meta = {"DataRole": ["Image", "Müller"], "steps": "30"}
    received = round_trip(sent)
    assert received.data.dtype == dtype
    np.testing.assert_array_equal(received.data, pixels)
    assert dict(received.meta) == dict(sent.meta)
    assert list(received.getHead().matrix_size) == [4, 3, 1]
    assert received.image_index == 4


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.bool_])
def test_pixels_that_gadgetron_cannot_read_are_refused(dtype):
    image = ismrmrd.Image(data=np.zeros((1, 1, 2, 2), np.float32))
    image._Image__data = np.zeros((1, 1, 2, 2), dtype)
    with pytest.raises(StreamError, match="cannot be sent"):
        encode(image)


@pytest.mark.parametrize(
    ("code", "stored", "like", "widened"),
    [(2, "<i2", np.uint16, np.float32), (4, "<i4", np.uint32, np.float64)],
)
def test_images_of_signed_integers_are_read_and_can_be_sent_on(code, stored, like, widened):
    image = ismrmrd.Image.from_array(np.zeros((2, 3), like), transpose=False)
    body = bytearray(encode_bytes(image)[2:])
    body[2:4] = UINT16.pack(code)
    last = np.array([-5], stored).tobytes()
    body[-len(last) :] = last
    received = decode(Message(MessageId.IMAGE, body))
    assert received.data.shape == (1, 1, 2, 3)
    assert received.data[0, 0, 1, 2] == -5
    assert len(encode_bytes(received)) == 2 + 198 + 8 + 6 * np.dtype(widened).itemsize
    assert round_trip(received).data.dtype == widened


def test_attributes_with_entities_are_not_read(caplog):
    image = ismrmrd.Image.from_array(np.ones((2, 3), np.float32), transpose=False)
    body = encode_bytes(image)[2:]
    text = (
        b'<!DOCTYPE a [<!ENTITY b "cc">]><ismrmrdMeta><meta><name>n</name><value>&b;</value></meta>'
        b"</ismrmrdMeta>"
    )
    body = body[:198] + UINT64.pack(len(text)) + text + body[198 + 8 :]
    received = decode(Message(MessageId.IMAGE, bytearray(body)))
    assert len(received.meta) == 0
    assert received.data.sum() == 6
    assert "declare a document type" in caplog.text


def test_image_with_foreign_attributes_keeps_its_pixels():
    image = ismrmrd.Image.from_array(np.ones((2, 3), np.float32), transpose=False)
    body = encode_bytes(image)[2:]
    text = b"not xml & worse\0"
    body = body[:198] + UINT64.pack(len(text)) + text + body[198 + 8 :]
    received = decode(Message(MessageId.IMAGE, bytearray(body)))
    assert len(received.meta) == 0
    assert received.data.sum() == 6


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_acquisition_that_does_not_fit_its_header_is_refused(acquisition, dtype):
    head = acquisition().getHead()
    samples = 9 if dtype == np.complex64 else 8
    wrong = ismrmrd.Acquisition(head, np.zeros((2, samples), dtype))
    with pytest.raises(StreamError, match="its header announces complex64"):
        encode(wrong)


def test_recon_data_round_trip():
    sent = ReconData([ReconBit(recon_buffer(), recon_buffer()), ReconBit(recon_buffer())])
    received = round_trip(sent)
    assert received.bits[1].calibration is None
    for one, other in zip(sent.bits, received.bits, strict=True):
        np.testing.assert_array_equal(one.data.data, other.data.data)
        np.testing.assert_array_equal(one.data.density, other.data.density)
        assert one.data.headers.tobytes() == other.data.headers.tobytes()
        assert bytes(one.data.sampling) == bytes(other.data.sampling)
        other.data.data[:] = 0
        other.data.density[:] = 0
        other.data.headers["scan_counter"] = 0


def test_recon_data_with_strided_arrays_round_trip():
    buffer = recon_buffer((1, 1, 1, 2, 3, 4, 6))
    buffer.data = buffer.data.swapaxes(3, 4).copy().swapaxes(3, 4)
    received = round_trip(ReconData([ReconBit(buffer)]))
    np.testing.assert_array_equal(received.bits[0].data.data, buffer.data)


def test_recon_data_reads_like_gadgetron_python(acquisition):
    """Axes are the reverse of gadgetron-python's: [loc, s, n, coil, kz, ky, kx]."""
    readers = pytest.importorskip("gadgetron.types.recon_data")
    sent = ReconData([ReconBit(recon_buffer((1, 2, 1, 3, 1, 4, 6)))])
    wire = memoryview(encode_bytes(sent))[2:]

    class Source:
        def read(self, count):
            nonlocal wire
            part, wire = bytes(wire[:count]), wire[count:]
            return part

    with pytest.warns(RuntimeWarning):
        theirs = readers.read_recon_data(Source()).bits[0].data
    assert theirs.data.shape == (6, 4, 1, 3, 1, 2, 1)
    np.testing.assert_array_equal(theirs.data.T, sent.bits[0].data.data)
    assert (
        theirs.headers[2, 0, 0, 1, 0].scan_counter
        == (sent.bits[0].data.headers["scan_counter"][0, 1, 0, 0, 2])
    )


def test_recon_data_of_the_wrong_type_is_refused():
    buffer = recon_buffer()
    buffer.data = buffer.data.astype(np.complex128)
    with pytest.raises(StreamError, match="complex128"):
        encode(ReconData([ReconBit(buffer)]))


def test_arrays_without_elements_may_not_have_absurd_axes():
    data = np.array([7, 0, 2**62, 2**62, 1, 1, 1, 1], "<u8").tobytes()
    headers = np.array([5, 0, 1, 1, 1, 1], "<u8").tobytes()
    body = UINT64.pack(1) + data + bytes(2) + headers + bytes(57)
    with pytest.raises(StreamError, match="no such array can be"):
        decode(Message(MessageId.RECON_DATA, bytearray(body)))


def test_bucket_with_waveforms_round_trip(acquisition, waveform):
    sent = AcquisitionBucket(
        [acquisition(1), acquisition(2, dimensions=2)], [acquisition(3)], [waveform(), waveform(1)]
    )
    received = round_trip(sent)
    assert received.data == sent.data
    assert received.calibration == sent.calibration
    assert received.waveforms == sent.waveforms


def test_other_objects_are_refused():
    with pytest.raises(StreamError, match="type dict cannot be sent"):
        encode({})


def test_trailing_bytes_are_an_error(acquisition):
    body = encode_bytes(acquisition())[2:] + b"\0"
    with pytest.raises(StreamError, match="damaged"):
        decode(Message(MessageId.ACQUISITION, body))


def test_bodies_that_cannot_be_written_to_give_writable_arrays(acquisition):
    body = bytes(encode_bytes(acquisition())[2:])
    decode(Message(MessageId.ACQUISITION, body)).data[:] = 0


def _messages() -> list[bytes]:
    head = ismrmrd.AcquisitionHeader()
    head.number_of_samples, head.active_channels, head.trajectory_dimensions = 4, 2, 1
    readout = ismrmrd.Acquisition(head, np.ones((2, 4), np.complex64), np.ones((4, 1), np.float32))
    wave = ismrmrd.Waveform.from_array(np.ones((2, 3), np.uint32))
    image = ismrmrd.Image.from_array(np.ones((2, 3), np.float32), transpose=False)
    image.meta = {"a": "b"}
    recon = ReconData([ReconBit(recon_buffer(), recon_buffer())])
    items = [readout, wave, image, recon, AcquisitionBucket([readout], [readout], [wave])]
    return [encode_bytes(item) for item in items]


MESSAGES = _messages()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_messages_end_in_a_stream_error(data):
    """Any change of any message either still decodes or is a sentence, never anything else."""
    wire = bytearray(data.draw(st.sampled_from(MESSAGES)))
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, len(wire) - 1))
        wire[position] = data.draw(st.integers(0, 255))
    del wire[data.draw(st.integers(0, len(wire))) :]
    try:
        for message in messages_in(wire):
            decode(message)
    except StreamError as error:
        assert str(error).endswith(".")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_noise_ends_in_a_stream_error(noise):
    try:
        for message in messages_in(noise):
            decode(message)
    except StreamError as error:
        assert str(error).endswith(".")


@pytest.mark.parametrize("wire", MESSAGES, ids=lambda wire: str(UINT16.unpack(wire[:2])[0]))
def test_every_truncation_is_an_error(wire):
    for length in range(1, len(wire), 7):
        with pytest.raises(StreamError):
            list(messages_in(wire[:length]))


@pytest.mark.parametrize("name", ["acq", "buffer"])
def test_recordings_encode_to_the_same_bytes(recording, name):
    wire = recording(name)
    assert b"".join(encode_bytes(decode(message)) for message in messages_in(wire)) == wire


def test_recorded_bucket(recording):
    bucket = decode(list(messages_in(recording("bucket")))[2])
    assert len(bucket.data) == 128
    assert len(bucket.calibration) == 28
    assert bucket.data[0].data.shape == (4, 256)
    assert not bucket.waveforms
