"""Encoding and decoding of acquisition and waveform messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import DTypeLike, NDArray

from gadget.errors import StreamError
from gadget.mrd.readouts.acquisition import header_of
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.messages import ACQUISITION_HEADER_BYTES
from gadget.stream.wire.parts import Part, memory_of


def decode_acquisition(cursor: Cursor) -> ismrmrd.Acquisition:
    """Decode the body of an acquisition message."""
    head = cursor.structure(ismrmrd.AcquisitionHeader)
    samples = head.number_of_samples
    trajectory = trajectory_of(cursor, head)
    data = cursor.array(np.complex64, (head.active_channels, samples))
    return ismrmrd.Acquisition(head, data, trajectory)


def decode_block(payloads: Sequence[bytes | bytearray], shape: tuple[int, int]) -> ReadoutBlock:
    """Decode the bodies of acquisition messages of one kind, without trajectories.

    Each holds samples `[coil, kx]` of this shape.
    """
    heads = [ismrmrd.AcquisitionHeader.from_buffer_copy(one) for one in payloads]
    samples = [
        np.frombuffer(one, np.complex64, offset=ACQUISITION_HEADER_BYTES) for one in payloads
    ]
    return ReadoutBlock(heads, np.array(samples).reshape(len(samples), *shape))


def trajectory_of(cursor: Cursor, head: ismrmrd.AcquisitionHeader) -> NDArray[np.float32]:
    """Decode the trajectory `[sample, dimension]` that a header announces."""
    return cursor.array(np.float32, (head.number_of_samples, head.trajectory_dimensions))


def encode_acquisition(acquisition: ismrmrd.Acquisition) -> list[Part]:
    """Return the parts of the body of an acquisition message: header, trajectory, samples.

    Raises
    ------
    StreamError
        Its arrays are not those that its header announces.
    """
    head = header_of(acquisition)
    samples = head.number_of_samples
    return [
        bytes(head),
        _checked(acquisition.traj, np.float32, (samples, head.trajectory_dimensions)),
        _checked(acquisition.data, np.complex64, (head.active_channels, samples)),
    ]


def _checked(array: NDArray[Any], dtype: DTypeLike, shape: tuple[int, int]) -> memoryview:
    """Return the memory of an array after checking its type and shape against its header."""
    # One byte more or less, and nothing after it is readable.
    if array.dtype != dtype or array.shape != shape:
        raise StreamError(
            f"An array {array.dtype} {array.shape} cannot be sent: its header announces "
            f"{np.dtype(dtype)} {shape}."
        )
    return memory_of(array)


def decode_waveform(cursor: Cursor) -> ismrmrd.Waveform:
    """Decode the body of a waveform message."""
    head = cursor.structure(ismrmrd.WaveformHeader)
    return ismrmrd.Waveform(head, cursor.array(np.uint32, (head.channels, head.number_of_samples)))


def encode_waveform(waveform: ismrmrd.Waveform) -> list[Part]:
    """Return the parts of the body of a waveform message; raises as `encode_acquisition`."""
    head = waveform.getHead()
    shape = head.channels, head.number_of_samples
    return [bytes(head), _checked(waveform.data, np.uint32, shape)]
