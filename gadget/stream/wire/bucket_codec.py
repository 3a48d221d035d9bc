"""Encoding and decoding of bucket messages."""

from __future__ import annotations

import ismrmrd
import numpy as np

from gadget.mrd.buffers.recon_data import AcquisitionBucket
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.messages import BUCKET_META_BYTES, BUCKET_STATISTICS, UINT16, UINT64
from gadget.stream.wire.parts import Part
from gadget.stream.wire.readout_codec import encode_acquisition, encode_waveform, trajectory_of


def decode_bucket(cursor: Cursor) -> AcquisitionBucket:
    """Decode the body of a bucket message."""
    meta = cursor.array(np.dtype("<u8"), (BUCKET_META_BYTES // UINT64.size,))
    data = _decode_bundle(cursor, int(meta[0]))
    _skip_statistics(cursor)
    calibration = _decode_bundle(cursor, int(meta[4]))
    _skip_statistics(cursor)
    heads = [cursor.structure(ismrmrd.WaveformHeader) for _ in range(int(meta[10]))]
    waveforms = [
        ismrmrd.Waveform(head, cursor.array(np.uint32, (head.channels, head.number_of_samples)))
        for head in heads
    ]
    return AcquisitionBucket(data, calibration, waveforms)


def _decode_bundle(cursor: Cursor, count: int) -> list[ismrmrd.Acquisition]:
    heads = [cursor.structure(ismrmrd.AcquisitionHeader) for _ in range(count)]
    trajectories = [trajectory_of(cursor, head) for head in heads]
    samples = [
        cursor.array(np.complex64, (head.active_channels, head.number_of_samples)) for head in heads
    ]
    return [
        ismrmrd.Acquisition(head, data, trajectory)
        for head, data, trajectory in zip(heads, samples, trajectories, strict=True)
    ]


def _skip_statistics(cursor: Cursor) -> None:
    for _ in range(cursor.number(UINT64)):
        for _ in range(BUCKET_STATISTICS):
            cursor.take(cursor.number(UINT64) * UINT16.size)


def encode_bucket(bucket: AcquisitionBucket) -> list[Part]:
    """Return the parts of the body of a bucket message; raises as `encode_acquisition`."""
    image = _Bundle([encode_acquisition(item) for item in bucket.data])
    calibration = _Bundle([encode_acquisition(item) for item in bucket.calibration])
    waves = [encode_waveform(item) for item in bucket.waveforms]
    heads = b"".join(wave[0] for wave in waves)
    data = b"".join(wave[1] for wave in waves)
    no_statistics = UINT64.pack(0)
    sizes = [*image.sizes, *calibration.sizes, 8, 8, len(waves), len(heads), len(data)]
    return [
        np.array(sizes, dtype="<u8").tobytes(),
        *(image.heads, image.trajectories, image.data, no_statistics),
        *(calibration.heads, calibration.trajectories, calibration.data, no_statistics),
        *(heads, data),
    ]


class _Bundle:
    """Acquisitions as a bucket holds them: all headers, all trajectories, all data."""

    def __init__(self, acquisitions: list[list[Part]]) -> None:
        self.heads, self.trajectories, self.data = (
            b"".join(parts[position] for parts in acquisitions) for position in range(3)
        )
        self.sizes = (len(acquisitions), len(self.heads), len(self.data), len(self.trajectories))
