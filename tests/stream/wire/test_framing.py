"""Lengths are checked before memory is taken for them."""

from __future__ import annotations

import struct
import tracemalloc

import ismrmrd
import pytest

from gadget.errors import StreamError
from gadget.stream.wire.codec import encode_bytes
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.framing import read_message
from gadget.stream.wire.messages import MAX_TEXT_BYTES, UINT16, UINT64, MessageId


def read(number: int, body: bytes):
    return read_message(number, Cursor(body, "test"))


@pytest.mark.parametrize("number", [0, 9, 1009, 1018, 1030, 1051, 65535])
def test_unknown_numbers_are_named(number):
    with pytest.raises(StreamError, match=f"unknown number {number} "):
        read(number, b"")


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (MessageId.RECON_DATA, struct.pack("<QQ7Q", 1, 7, *[2**40] * 7)),
        (MessageId.RECON_DATA, struct.pack("<QQ1Q", 1, 1, 2**35)),
        (MessageId.BUCKET, struct.pack("<13Q", 2**40, *[0] * 12)),
        (MessageId.IMAGE_ARRAY, struct.pack("<QQ", 1, 2**50)),
        (
            MessageId.IMAGE,
            struct.pack("<2xH12xHHH12xH", 7, 65535, 65535, 65535, 9).ljust(198) + bytes(8),
        ),
    ],
)
def test_absurd_sizes_are_refused(number, body):
    with pytest.raises(StreamError, match=r"more than the .* allowed"):
        read(number, body)


def test_too_many_dimensions_are_refused():
    with pytest.raises(StreamError, match="99 dimensions"):
        read(MessageId.RECON_DATA, struct.pack("<QQ", 1, 99))


@pytest.mark.parametrize("number", [MessageId.ERROR, MessageId.CONFIG])
def test_long_texts_are_refused(number):
    form = "<Q" if number is MessageId.ERROR else "<I"
    with pytest.raises(StreamError, match="is announced"):
        read(number, struct.pack(form, MAX_TEXT_BYTES + 1))


def test_a_length_alone_takes_no_memory():
    body = struct.pack("<QQQ", 1, 1, 2**31)
    tracemalloc.start()
    with pytest.raises(StreamError, match="truncated"):
        read(MessageId.RECON_DATA, body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_large_array_is_not_copied_for_what_follows_it():
    array, density = 2**23, 2**18
    body = struct.pack("<QQQ", 1, 1, array // 8) + bytes(array)
    body += struct.pack("<BBQQ", 0, 1, 1, density // 4) + bytes(density)
    body += struct.pack("<Q", 0) + bytes(56) + b"\0"
    tracemalloc.start()
    message = read(MessageId.RECON_DATA, body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.payload == body
    assert peak < 1.5 * len(body)


@pytest.mark.parametrize("flag", [ismrmrd.ACQ_COMPRESSION1, ismrmrd.ACQ_COMPRESSION2])
def test_a_compressed_readout_is_named(acquisition, flag):
    readout = acquisition(0)
    assert read(*_split(encode_bytes(readout))).id is MessageId.ACQUISITION
    readout.setFlag(flag)
    with pytest.raises(StreamError, match="flagged as compressed"):
        read(*_split(encode_bytes(readout)))


def _split(message: bytes) -> tuple[int, bytes]:
    return UINT16.unpack_from(message)[0], message[UINT16.size :]


def test_flags_are_zero_or_one():
    with pytest.raises(StreamError, match="0 or 1"):
        read(MessageId.RECON_DATA, struct.pack("<QQB", 1, 0, 7))


def test_pixel_types_are_known():
    with pytest.raises(StreamError, match="data type 9"):
        read(MessageId.IMAGE, struct.pack("<2xH", 9).ljust(198, b"\0"))


def test_image_arrays_are_read_whole():
    array = UINT64.pack(2) + struct.pack("<QQ", 3, 2)
    body = (
        array
        + bytes(6 * 8)
        + (UINT64.pack(1) + UINT64.pack(2) + bytes(2 * 198))
        + (UINT64.pack(1) + UINT64.pack(4) + b"meta")
        + (b"\x01" + UINT64.pack(1) + struct.pack("<28xHH8x", 3, 2) + bytes(3 * 2 * 4))
        + (b"\x01" + UINT64.pack(1) + UINT64.pack(1) + bytes(340))
    )
    assert read(MessageId.IMAGE_ARRAY, body).payload == body
