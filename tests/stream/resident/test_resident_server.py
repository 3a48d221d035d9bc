"""The resident server on real sockets: nothing that one connection does harms another."""

from __future__ import annotations

import gc
import itertools
import resource
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest
import torch
from waiting import wait_until

import gadget.diffusion.reconstruct
import gadget.stream.inbox
import gadget.stream.open_connections
import gadget.stream.resident.engine
from gadget.errors import StreamError, WeightsError
from gadget.mri.operators.fourier import fftc
from gadget.nodes.reconstruct import reconstruct
from gadget.stream.resident.engine import Engine
from gadget.stream.resident.resident_server import ResidentServer
from gadget.stream.resident.status import query_status
from gadget.stream.wire.address import Address, listen
from gadget.stream.wire.codec import decode, encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import UINT64, MessageId

SIZE = 16
LAST_IN_SLICE = 1 << (ismrmrd.ACQ_LAST_IN_SLICE - 1)
SPACE = (
    f"<matrixSize><x>{SIZE}</x><y>{SIZE}</y><z>1</z></matrixSize>"
    "<fieldOfView_mm><x>200</x><y>200</y><z>5</z></fieldOfView_mm>"
)
XML = (
    '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>'
    f"<encodedSpace>{SPACE}</encodedSpace><reconSpace>{SPACE}</reconSpace><encodingLimits>"
    "<average><minimum>0</minimum><maximum>0</maximum><center>0</center></average>"
    "</encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
).encode()
CLOSE = struct.pack("<H", MessageId.CLOSE)


class GatedPrior:
    """A prior of white images, whose evaluations wait to be let through."""

    name, sha256, sigma_min, sigma_max = "gated", "0" * 64, 0.002, 10.0
    any_orientation = True
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.evaluations = 0
        self.largest = 0
        """Most images of one evaluation."""
        self._permits = threading.Semaphore(0)

    def let_through(self, evaluations: int = 1_000_000) -> None:
        self._permits.release(evaluations)

    def denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        self.evaluations += 1
        self.largest = max(self.largest, len(x))
        assert self._permits.acquire(timeout=20)
        return self.answer(x, sigma)

    def answer(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x / (1 + sigma[:, None, None] ** 2)


class Scan:
    """A scan that is sent to the server, and what comes back."""

    def __init__(self, address: Address, properties: dict[str, object], xml: bytes = XML) -> None:
        sock = socket.create_connection((address.host, address.port))
        self.connection = Connection(sock, idle_s=20, stall_s=20)
        lines = "".join(f'<property name="{k}" value="{v}"/>' for k, v in properties.items())
        self.connection.write_setup(f"<configuration>{lines}</configuration>".encode(), xml)

    def send(self, *data: bytes) -> None:
        self.connection.write(data)

    def next(self) -> ismrmrd.Image | str | None:
        """The next image, a sentence of the server, or None at the end."""
        message = self.connection.read()
        if message.id is MessageId.CLOSE:
            return None
        if message.id is MessageId.ERROR:
            return bytes(message.payload[UINT64.size :]).decode()
        return decode(message)

    def finish(self) -> list[ismrmrd.Image | str]:
        """Send CLOSE and return all that still comes."""
        self.send(CLOSE)
        rest = list(iter(self.next, None))
        self.connection.close()
        return rest

    def vanish(self) -> None:
        self.connection.close()


def send_behind_the_first(scan, slices, served, prior, waiting: int) -> None:
    """Send slices; return when the first is alone in its first evaluation and others wait."""
    scan.send(slices[0])
    wait_until(lambda: prior.evaluations == 1)
    scan.send(*slices[1:])
    wait_until(lambda: served.status().waiting == waiting)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(scope="module")
def slices(measure) -> list[bytes]:
    """The readouts of ten slices, which differ, each as one block of messages."""
    truth = measure((SIZE, SIZE), coils=3, noise=0)
    blocks = []
    for number in range(10):
        kspace = fftc(truth.maps * truth.image * (1 + number)).astype(np.complex64)
        readouts = []
        for ky in range(SIZE):
            head = ismrmrd.AcquisitionHeader()
            head.version, head.number_of_samples, head.active_channels = 1, SIZE, 3
            head.center_sample = SIZE // 2
            head.idx.kspace_encode_step_1, head.idx.slice = ky, number
            head.flags = LAST_IN_SLICE if ky == SIZE - 1 else 0
            readouts.append(encode_bytes(ismrmrd.Acquisition(head, kspace[:, ky])))
        blocks.append(b"".join(readouts))
    return blocks


@pytest.fixture
def prior(monkeypatch) -> GatedPrior:
    prior = GatedPrior()
    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", lambda name, device: prior)
    return prior


class Served:
    """A server that runs in a thread."""

    def __init__(self, depth: int = 4, **options: Any) -> None:
        listener = listen(Address("127.0.0.1", 0))
        self.address = Address(*listener.getsockname())
        self.server = ResidentServer(
            listener,
            Engine("gated", "cpu"),
            reconstruct,
            depth=depth,
            **{"finish_s": 10.0, **options},
        )
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.server.serve()
        except StreamError as error:
            self.failure = error

    def scan(self, **properties: object) -> Scan:
        return Scan(self.address, {"steps": 1, **properties})

    def status(self):
        return self.server.status()

    def stop(self) -> None:
        self.server.stop()

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()


@pytest.fixture
def start(prior):
    """Starts servers; they are stopped in the end."""
    started: list[Served] = []

    def make(**options) -> Served:
        started.append(Served(**options))
        return started[-1]

    yield make
    prior.let_through()
    for served in started:
        if not served.ended:
            served.stop()
            served.join()


def test_two_scans_at_once_both_get_their_images(start, prior, slices):
    served = start()
    one, two = served.scan(), served.scan(image_series=7)
    for number in range(3):
        one.send(slices[number])
        two.send(slices[number + 3])
    wait_until(lambda: served.status().waiting == 5)
    prior.let_through()
    first, second = one.finish(), two.finish()
    assert [(i.image_series_index, i.image_index, i.slice) for i in first] == [
        (0, 1, 0),
        (0, 2, 1),
        (0, 3, 2),
    ]
    assert [(i.image_series_index, i.image_index, i.slice) for i in second] == [
        (7, 1, 3),
        (7, 2, 4),
        (7, 3, 5),
    ]
    for number, image in enumerate([*first, *second], start=1):
        assert image.meta["ScoreGadget_method"] == "fast"
        assert np.abs(image.data).max() == pytest.approx(
            np.abs(first[0].data).max() * number, rel=0.01
        )


def test_a_scan_becomes_the_images_of_a_node_of_its_own(start, slices):
    ours, theirs = socket.socketpair()
    setup = b"<configuration><property name='method' value='sense'/></configuration>", XML
    thread = threading.Thread(target=reconstruct.run, args=(Connection(theirs), setup))
    thread.start()
    connection = Connection(ours, idle_s=20)
    connection.write([*slices[:2], CLOSE])
    expected = [decode(connection.read()) for _ in range(2)]
    connection.close()
    thread.join(20)
    scan = start().scan(method="sense")
    scan.send(*slices[:2])
    for image, other in zip(scan.finish(), expected, strict=True):
        np.testing.assert_array_equal(image.data, other.data)
        assert image.meta["ScoreGadget_method"] == "sense"


def test_slices_on_connections_of_their_own_give_the_same_images(start, slices):
    """As Gadgetron distributes a scan: each worker gets the readouts of one slice alone."""
    served = start()
    whole = served.scan(method="sense")
    whole.send(*slices[:3])
    parts = [served.scan(method="sense") for _ in range(3)]
    for part, readouts in zip(parts, slices, strict=False):
        part.send(readouts)
    for image, part in zip(whole.finish(), parts, strict=True):
        (alone,) = part.finish()
        assert (alone.slice, alone.image_index) == (image.slice, 1)
        np.testing.assert_array_equal(alone.data, image.data)


def test_defaults_hold_where_a_connection_names_nothing(start, slices):
    served = start(defaults={"method": "sense", "image_series": "5"})
    silent, outspoken = Scan(served.address, {}), served.scan(image_series=7)
    for scan in (silent, outspoken):
        scan.send(slices[0])
    for scan, series in ((silent, 5), (outspoken, 7)):
        (image,) = scan.finish()
        assert image.image_series_index == series
        assert image.meta["ScoreGadget_method"] == "sense"


def test_a_short_scan_does_not_wait_for_a_long_one(start, prior, slices):
    served = start(depth=6)
    long = served.scan()
    send_behind_the_first(long, slices, served, prior, waiting=5)
    short = served.scan()
    short.send(slices[0])
    wait_until(lambda: served.status().waiting == 6)
    prior.let_through(3)  # the long one's first, those that waited beside it, the short one
    (image,) = short.finish()
    assert image.slice == 0
    assert [long.next().slice for _ in range(6)] == list(range(6))
    # One place in the queue may have been free before the others began.
    assert served.status().reconstructions in (7, 8)
    prior.let_through()
    assert [image.slice for image in long.finish()] == list(range(6, 10))


def test_slices_that_wait_go_through_the_prior_together(start, prior, slices):
    served = start(depth=6)
    scan = served.scan()
    send_behind_the_first(scan, slices, served, prior, waiting=5)
    prior.let_through()
    images = scan.finish()
    assert [image.slice for image in images] == list(range(10))
    brightness = [np.abs(image.data).max() for image in images]
    np.testing.assert_allclose(brightness, brightness[0] * np.arange(1, 11), rtol=0.01)
    assert prior.largest >= 5
    assert served.status().reconstructions == 10


def test_a_full_queue_holds_its_sender_back_and_drops_nothing(start, prior, slices):
    served = start(depth=2)
    scan = served.scan()
    scan.send(*slices)
    wait_until(lambda: (served.status().waiting, prior.evaluations) == (1, 1))
    time.sleep(0.1)
    assert served.status().waiting == 1
    prior.let_through()
    assert [image.slice for image in scan.finish()] == list(range(10))


def test_a_killed_connection_takes_only_its_own_work_with_it(start, prior, slices):
    served = start()
    killed, other = served.scan(steps=5), served.scan(steps=5)
    killed.send(*slices[:3])
    wait_until(lambda: (served.status().waiting, prior.evaluations) == (2, 1))
    other.send(slices[4])
    wait_until(lambda: served.status().waiting == 3)
    killed.vanish()
    wait_until(lambda: served.status().waiting == 1)
    prior.let_through()
    (image,) = other.finish()
    assert image.slice == 4
    assert "ScoreGadget_fallback" not in image.meta
    # One evaluation of the one that was running, and all of the other's.
    assert prior.evaluations == 1 + 5
    wait_until(lambda: served.status().scans == 0)
    assert (served.status().reconstructions, served.status().failures) == (1, 1)


def test_a_scan_that_fails_leaves_no_work_behind(start, prior, slices, monkeypatch):
    def fail(*_):
        raise ValueError("the image is cursed")

    monkeypatch.setattr("gadget.mrd.images.results.ImageMaker.images", fail)
    served = start()
    threads = threading.active_count()
    scan = served.scan(steps=5)
    send_behind_the_first(scan, slices[:4], served, prior, waiting=3)
    prior.let_through(5)
    wait_until(lambda: (served.status().waiting, prior.evaluations) == (0, 6))
    prior.let_through()
    (error,) = scan.finish()
    assert "ValueError: the image is cursed" in error
    wait_until(lambda: threading.active_count() <= threads)
    assert prior.evaluations == 6
    assert served.status().failures == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_client_that_vanishes_mid_scan_is_forgotten(start, prior, slices, share):
    served = start()
    gone, other = served.scan(), served.scan()
    gone.send(slices[0][: int(share * len(slices[0]))])
    other.send(slices[1])
    wait_until(lambda: served.status().scans == 2)
    gone.vanish()
    prior.let_through()
    assert [image.slice for image in other.finish()] == [1]
    wait_until(lambda: served.status().scans == 0)
    assert served.status().failures == 1


def test_half_a_message_and_then_silence_is_an_error_in_time(start, prior, slices, monkeypatch):
    monkeypatch.setattr(gadget.stream.inbox, "SILENCE_SECONDS", 0.1)
    served = start(stall_s=0.3)
    prior.let_through()
    scan = served.scan()
    scan.send(slices[0], slices[1][:1000])
    whole, begun, error, end = (scan.next() for _ in range(4))
    assert (whole.slice, begun.slice) == (0, 1)
    assert "Nothing arrived for 0.3 s" in error
    assert end is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (struct.pack("<H", 1030), "unknown number 1030"),
        (struct.pack("<HI", MessageId.CONFIG, 0), "CONFIG (2) came among the data"),
        (struct.pack("<HQ", MessageId.ERROR, 4) + b"oops", "reports an error: oops"),
    ],
)
def test_what_does_not_belong_in_a_scan_is_told(start, prior, slices, monkeypatch, data, sentence):
    monkeypatch.setattr(gadget.stream.inbox, "SILENCE_SECONDS", 0.1)
    prior.let_through()
    scan = start().scan()
    scan.send(slices[0], data)
    image, error, end = scan.next(), scan.next(), scan.next()
    assert image.slice == 0
    assert sentence in error
    assert end is None


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"stebs": 3}, "Property 'stebs' is not known: did you mean 'steps'"),
        ({"steps": "many"}, "Property 'steps' must be a valid integer"),
        ({"model": "no-such-model"}, "This server has no model 'no-such-model': name one of"),
        ({"model": "../models/brain-small"}, "This server has no model '../models/brain-small'"),
        ({"device": "cuda:99"}, "The device 'cuda:99' is not here"),
    ],
)
def test_wrong_settings_are_told_and_harm_nobody(start, prior, slices, properties, sentence):
    served = start()
    prior.let_through()
    wrong, right = served.scan(**properties), served.scan()
    for scan in (wrong, right):
        scan.send(slices[0])
    assert [sentence in error for error in wrong.finish()] == [True]
    assert [image.slice for image in right.finish()] == [0]


def test_a_model_that_cannot_be_loaded_ends_its_scan_and_harms_nobody(
    start, prior, slices, monkeypatch
):
    def load(name, device):
        if name == "brain-small":
            raise WeightsError("Its file is damaged.")
        return prior

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", load)
    served = start()
    prior.let_through()
    broken = served.scan(model="brain-small")
    broken.send(slices[0])
    assert [str(one) for one in broken.finish()] == [
        "score-gadget reconstruct: Its file is damaged."
    ]
    whole = served.scan()
    whole.send(slices[0])
    assert len(whole.finish()) == 1


def test_loading_a_model_takes_no_time_of_the_deadline(start, prior, slices, monkeypatch):
    def load(name, device):
        if name == "brain-small":
            time.sleep(3)
        return prior

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", load)
    scan = start().scan(model="brain-small", deadline_s=2.5)
    prior.let_through()
    scan.send(slices[0])
    (image,) = scan.finish()
    assert "ScoreGadget_fallback" not in image.meta


@pytest.mark.parametrize("config", [b"<configuration", b"\xff\x00\x01", b"<steps>3</steps>"])
def test_rubbish_for_a_configuration_is_told(start, slices, config):
    served = start()
    sock = socket.create_connection((served.address.host, served.address.port))
    connection = Connection(sock, idle_s=20)
    connection.write_setup(config, XML)
    connection.write([slices[0], CLOSE])
    message = connection.read()
    assert message.id is MessageId.ERROR
    assert b"onfiguration" in message.payload
    connection.close()


def test_a_header_that_says_nothing_is_told(start, slices):
    scan = Scan(start().address, {}, b"<ismrmrdHeader/>")
    scan.send(slices[0])
    (error,) = scan.finish()
    assert "no <encoding>" in error


def test_probes_are_harmless(start, prior, slices):
    served = start()
    prior.let_through()
    place = (served.address.host, served.address.port)
    for greeting in (b"", b"\x02", struct.pack("<HI", MessageId.CONFIG, 99), b"GET / HTTP/1.1\r\n"):
        with socket.create_connection(place) as probe:
            probe.sendall(greeting)
            if greeting.startswith(b"GET"):
                probe.settimeout(20)
                assert b"unknown number 17735" in probe.makefile("rb").read()
    scan = served.scan()
    scan.send(slices[0])
    assert [image.slice for image in scan.finish()] == [0]
    assert served.status().failures == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x, sigma: x * float("nan"), "fast: fast gave values that are not finite"),
        (
            lambda x, sigma: (_ for _ in ()).throw(
                torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB.")
            ),
            "fast: CUDA out of memory",
        ),
    ],
)
def test_a_prior_that_fails_costs_quality_and_is_marked(
    start, prior, slices, caplog, answer, reason
):
    prior.answer = answer
    prior.let_through()
    served = start()
    scan = served.scan()
    scan.send(slices[0])
    (image,) = scan.finish()
    assert np.isfinite(image.data).all()
    assert image.meta["ScoreGadget_method"] == "sense"
    assert image.meta["ScoreGadget_fallback"].startswith(reason)
    assert image.meta["ImageComment"][:3] == ["AI", "score-gadget", "sense"]
    assert image.meta["ImageComment"][3].startswith(f"FALLBACK, {reason}")
    assert image.meta["ImageProcessingHistory"] == ["AI", "score-gadget", "FALLBACK"]
    assert [r.levelname for r in caplog.records if "image 1: method sense" in r.message] == [
        "WARNING"
    ]
    wait_until(lambda: served.status().scans == 0)
    assert (served.status().fallbacks, served.status().failures) == (1, 0)


def test_the_status_is_told_while_a_reconstruction_runs(start, prior, slices):
    served = start()
    scan = served.scan()
    scan.send(*slices[:3])
    wait_until(lambda: (served.status().waiting, prior.evaluations) == (2, 1))
    status = query_status(served.address)
    assert (status.scans, status.waiting, status.reconstructions) == (1, 2, 0)
    assert (status.model, status.sha256, status.device) == ("gated", "0" * 64, "cpu")
    assert status.version == gadget.__version__
    assert 0 < status.uptime_s < 60
    prior.let_through()
    assert len(scan.finish()) == 3
    wait_until(lambda: query_status(served.address).scans == 0)
    assert query_status(served.address).reconstructions == 3


def test_a_buffer_that_cannot_be_reconstructed_costs_itself_alone(
    start, prior, slices, monkeypatch
):
    served = start()
    prior.let_through()
    fourier = gadget.diffusion.reconstruct.root_sum_of_squares
    calls = itertools.count()

    def sometimes(kspace):
        if next(calls) == 1:
            raise MemoryError("Unable to allocate 703 MiB")
        return fourier(kspace)

    monkeypatch.setattr(gadget.diffusion.reconstruct, "root_sum_of_squares", sometimes)
    scan = served.scan(method="fft")
    scan.send(*slices[:4])
    *images, sentence = scan.finish()
    assert [image.slice for image in images] == [0, 2, 3]
    assert "No method could reconstruct the buffer (fft: Unable to allocate 703 MiB)" in sentence


def test_forty_scans_in_a_row_leave_nothing_behind(start, prior, slices):
    served = start()
    prior.let_through()

    def scan(number: int) -> None:
        scan = served.scan(method="fft")
        scan.send(slices[number % 10])
        if number % 3:
            assert [image.slice for image in scan.finish()] == [number % 10]
        else:
            scan.vanish()
        wait_until(lambda: served.status().scans == 0)

    scan(1)
    gc.collect()
    threads, files = threading.active_count(), open_files()
    for number in range(40):
        scan(number)
    wait_until(lambda: threading.active_count() <= threads)
    gc.collect()
    wait_until(lambda: open_files() <= files)  # the server may still be closing the last one


def test_a_connection_too_many_is_turned_away(start, prior, slices, monkeypatch):
    monkeypatch.setattr(gadget.stream.open_connections, "MAX_CONNECTIONS", 2)
    served = start()
    prior.let_through()
    place = (served.address.host, served.address.port)
    scan, idle = served.scan(), socket.create_connection(place)
    wait_until(lambda: len(served.server._scans._open.all) == 2)
    with socket.create_connection(place) as third:
        third.settimeout(20)
        assert b"2 connections are open" in third.makefile("rb").read()
    idle.close()
    scan.send(slices[0])
    assert [image.slice for image in scan.finish()] == [0]


def test_a_server_short_of_files_recovers(start, prior, slices, caplog):
    served = start()
    prior.let_through()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as waiting:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # open ones stay open
        try:
            waiting.connect((served.address.host, served.address.port))
            wait_until(lambda: "could not be accepted" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    scan = served.scan()
    scan.send(slices[0])
    assert [image.slice for image in scan.finish()] == [0]


def test_stopping_finishes_what_has_begun(start, prior, slices):
    served = start()
    one, two = served.scan(), served.scan()
    one.send(*slices[:3])
    wait_until(lambda: (served.status().waiting, prior.evaluations) == (2, 1))
    served.stop()
    wait_until(lambda: not _accepts(served.address))
    two.send(*slices[3:5])
    prior.let_through()
    assert [image.slice for image in one.finish()] == [0, 1, 2]
    assert [image.slice for image in two.finish()] == [3, 4]
    served.join()
    assert served.failure is None


def test_stopping_tells_who_has_not_begun(start, monkeypatch):
    monkeypatch.setattr("gadget.stream.open_connections.SETUP_GRACE_SECONDS", 0.1)
    served = start()
    with socket.create_connection((served.address.host, served.address.port)) as silent:
        wait_until(lambda: len(served.server._scans._open.all) == 1)
        served.stop()
        served.join()
        silent.settimeout(5)
        told = silent.makefile("rb").read()
    assert told.endswith(b"This server ends, and no data of a scan have come.")


def test_stopping_does_not_wait_for_ever(start, prior, slices):
    served = start(finish_s=0.2)
    scan = served.scan()
    scan.send(slices[0])
    wait_until(lambda: prior.evaluations == 1)
    served.stop()
    served.join()
    assert str(served.failure) == "Scans that did not end within 0.2 s and are cut off: 1."
    prior.let_through()
    scan.vanish()


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection((address.host, address.port), 5).close()
    except ConnectionError:  # reset: it waited in the queue of a listener that was closed
        return False
    return True
