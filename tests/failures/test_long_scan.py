"""Two thousand slices through the real nodes: all images come, and the memory stays flat."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from gadget.stream.host.pipeline import Execute
from gadget.stream.host.run import run_pipeline
from gadget.stream.wire.codec import encode_bytes

SLICES = 2000
WARM = 100
"""Slices until everything is loaded and has its size."""
AHEAD = 20
"""Slices that are sent before the image of the first of them has come."""
GROWTH = 6 * 2**20
"""A sixth of what the data of the other slices would take [bytes]."""
SIZE, COILS = 8, 32
FFT = b'<configuration><property name="method" value="fft"/></configuration>'
HEADER = (
    '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><vendorSecret><x>1</x></vendorSecret>'
    "<experimentalConditions><H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz>"
    "<vendorField>3</vendorField></experimentalConditions><encoding><encodedSpace>{space}"
    "</encodedSpace><reconSpace>{space}</reconSpace><encodingLimits/><trajectory>cartesian"
    "</trajectory></encoding></ismrmrdHeader>"
).format(
    space="<matrixSize><x>8</x><y>8</y><z>1</z></matrixSize>"
    "<fieldOfView_mm><x>64</x><y>64</y><z>5</z></fieldOfView_mm>"
)
PAGE = os.sysconf("SC_PAGE_SIZE")


def scan() -> Iterator[bytes]:
    """Yield each slice, as a waveform and its readouts."""
    random = np.random.default_rng(0)
    samples = random.normal(size=(SIZE, COILS, SIZE, 2)).astype(np.float32)
    head = ismrmrd.AcquisitionHeader()
    head.number_of_samples, head.center_sample, head.active_channels = SIZE, SIZE // 2, COILS
    wave = encode_bytes(ismrmrd.Waveform.from_array(np.ones((2, 50), np.uint32)))
    for number in range(SLICES):
        head.idx.slice = number
        block = [wave]
        for line in range(SIZE):
            head.idx.kspace_encode_step_1 = line
            head.flags = 1 << (ismrmrd.ACQ_LAST_IN_SLICE - 1) if line == SIZE - 1 else 0
            data = samples[line].view(np.complex64)[..., 0]
            block.append(encode_bytes(ismrmrd.Acquisition(head, data)))
        yield b"".join(block)


class Run:
    """A scan that goes on as its images come."""

    def __init__(self) -> None:
        self.slices: list[int] = []
        self.memory: list[int] = []
        """Of host and nodes together [bytes]."""
        self._ahead = threading.Semaphore(AHEAD)

    def messages(self) -> Iterator[bytes]:
        for messages in scan():
            self._ahead.acquire()
            yield messages

    def take(self, image: ismrmrd.Image) -> None:
        self._ahead.release()
        self.slices.append(image.slice)
        if len(self.slices) >= WARM and len(self.slices) % 20 == 0:
            self.memory.append(sum(map(resident, [os.getpid(), *children()])))


def children() -> list[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


@pytest.fixture(scope="module")
def long_scan() -> Run:
    nodes = [
        Execute(f"gadget.nodes.{name}", name, FFT if name == "reconstruct" else b"<configuration/>")
        for name in ("prewhiten", "gather", "reconstruct", "finish")
    ]
    run = Run()
    run_pipeline(nodes, HEADER.encode(), run.messages(), run.take)
    return run


def test_every_slice_comes_out_in_its_order(long_scan):
    """Although there are waveforms in the stream, and elements no schema knows in the header."""
    assert long_scan.slices == list(range(SLICES))


def test_memory_does_not_grow_with_the_scan(long_scan):
    assert max(long_scan.memory) - long_scan.memory[0] < GROWTH
