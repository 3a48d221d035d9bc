from __future__ import annotations

import os
import socket
from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from gadget.stream.host.pipeline import Execute
from gadget.stream.wire.connection import Connection

TARGETS = Path(__file__).parent / "targets"
HEADER = (
    b'<?xml version="1.0"?>\n<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
    b"<experimentalConditions><H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz>"
    b"</experimentalConditions><encoding><encodedSpace><matrixSize><x>8</x><y>8</y><z>1</z>"
    b"</matrixSize><fieldOfView_mm><x>8</x><y>8</y><z>5</z></fieldOfView_mm></encodedSpace>"
    b"<reconSpace><matrixSize><x>8</x><y>8</y><z>1</z></matrixSize><fieldOfView_mm><x>8</x>"
    b"<y>8</y><z>5</z></fieldOfView_mm></reconSpace><encodingLimits><kspace_encoding_step_1>"
    b"<minimum>0</minimum><maximum>7</maximum><center>4</center></kspace_encoding_step_1>"
    b"</encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
)


@pytest.fixture
def header() -> bytes:
    return HEADER


@pytest.fixture
def acquisition():
    """Makes a readout with random samples."""

    def make(counter: int = 0, coils: int = 2, samples: int = 8, dimensions: int = 0):
        random = np.random.default_rng(counter)
        head = ismrmrd.AcquisitionHeader()
        head.version = 1
        head.scan_counter = counter
        head.number_of_samples = samples
        head.active_channels = head.available_channels = coils
        head.trajectory_dimensions = dimensions
        head.idx.kspace_encode_step_1 = counter
        data = random.normal(size=(coils, samples, 2)).astype(np.float32)
        trajectory = random.normal(size=(samples, dimensions)).astype(np.float32)
        return ismrmrd.Acquisition(head, data.view(np.complex64)[..., 0], trajectory)

    return make


@pytest.fixture
def waveform():
    """Makes a waveform."""

    def make(channels: int = 3, samples: int = 5):
        data = np.arange(channels * samples, dtype=np.uint32).reshape(channels, samples)
        return ismrmrd.Waveform.from_array(data, waveform_id=1, scan_counter=7)

    return make


@pytest.fixture
def pair():
    """Two ends of a TCP connection: ours, and a plain socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    connection = Connection(ours, idle_s=5.0, stall_s=1.0)
    with theirs:
        yield connection, theirs
    connection.close()


@pytest.fixture
def targets(monkeypatch):
    """Makes pipelines of the functions in `targets/`, which started nodes can import."""
    root = Path(__file__).parent.parent.parent
    paths = [str(TARGETS), str(root), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.syspath_prepend(str(TARGETS))

    def make(*names: str, **properties: object) -> list[Execute]:
        lines = "".join(
            f'\t<property name="{key}" value="{value}" />\n' for key, value in properties.items()
        )
        text = f'<?xml version="1.0"?>\n<configuration>\n{lines}</configuration>\n'
        if not properties:
            text = '<?xml version="1.0"?>\n'
        return [Execute("stream_targets", name, text.encode()) for name in names]

    return make
