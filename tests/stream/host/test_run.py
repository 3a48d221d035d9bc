"""The embedded host: pipelines of real node processes."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from full_socket import fill
from waiting import wait_until
from wire_bytes import messages_in

import gadget.stream.host.process
from gadget.errors import ConfigError, DataError, StreamError
from gadget.mrd.raw.raw_file import RawFile
from gadget.stream.host.pipeline import Connect, Execute
from gadget.stream.host.run import run_pipeline
from gadget.stream.wire.address import Address
from gadget.stream.wire.codec import decode, encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import MessageId, text_message


@pytest.fixture
def run(header):
    """Runs a pipeline; returns its images and progress, also after an error."""

    class Run:
        def __init__(self) -> None:
            self.images = []
            self.progress = []

        def __call__(self, pipeline, messages, header=header):
            run_pipeline(pipeline, header, messages, self.images.append, self.progress.append)
            return self.images

        @property
        def indices(self):
            return [image.image_index for image in self.images]

    return Run()


@pytest.fixture
def readouts(acquisition):
    return [encode_bytes(acquisition(count)) for count in range(5)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_images_come_in_order_through_several_nodes(run, targets, readouts, acquisition, waveform):
    messages = [readouts[0] + readouts[1], encode_bytes(waveform()), *readouts[2:]]
    images = run(targets("echo", "picture", "decoded_echo"), messages)
    assert run.indices == [0, 1, 2, 3, 4]
    expected = np.abs(acquisition(3).data).astype(np.float32)
    np.testing.assert_array_equal(images[3].data[:, 0, 0, :], expected)
    assert run.progress
    assert (run.progress[0].node, run.progress[0].text) == ("picture", "imaging")
    assert run.progress[0].fields == {"done": 0, "total": -1}


def test_scripts_in_the_current_folder_do_not_stand_for_libraries(
    run, readouts, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("random", "socket", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit")
    settings = b"<configuration><property name='method' value='fft'/></configuration>"
    assert len(run([Execute("gadget.nodes.reconstruct", "reconstruct", settings)], readouts)) == 1


def test_a_machine_without_room_for_a_node_is_a_sentence(run, targets, readouts):
    pipeline = targets("picture")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(StreamError, match=r"picture cannot be started: Too many open files\."):
            run(pipeline, readouts)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_host_sends_what_gadgetron_sends(targets, test_data, recording, tmp_path, monkeypatch):
    monkeypatch.setenv("RECORD_FILE", str(tmp_path / "recorded"))
    targets()
    config, _, *data = messages_in(recording("acq"))
    pipeline = [Execute("stream_targets", "record", bytes(config.payload[4:]))]
    with RawFile(test_data / "data" / "raw" / "phantom_grappa2.h5") as file:
        run_pipeline(pipeline, file.header_xml, file.messages(), print)
    sent_config, sent_header, *sent = messages_in((tmp_path / "recorded").read_bytes())
    assert sent_config == config
    assert sent_header.id is MessageId.HEADER
    assert sent == data[:-1]


def test_vendor_elements_in_the_header_do_not_kill_nodes(run, targets, readouts, header):
    foreign = header.replace(b"</encoding>", b"</encoding><vendorThing>1</vendorThing>")
    assert foreign != header
    run(targets("picture"), readouts, foreign)
    assert run.indices == [0, 1, 2, 3, 4]


def test_settings_reach_the_node(run, targets, readouts):
    with pytest.raises(StreamError, match="score-gadget picture: Property 'steps' must be"):
        run(targets("picture", steps=0), readouts)


def test_an_image_that_cannot_be_taken_is_an_error(run, targets, readouts, monkeypatch):
    def exhausted(message):
        raise MemoryError

    monkeypatch.setattr("gadget.stream.host.link.decode", exhausted)
    with pytest.raises(StreamError, match=r"node picture sent could not be taken: MemoryError"):
        run(targets("picture"), readouts)


@pytest.mark.parametrize("chain", [("fail_at_third",), ("echo", "fail_at_third", "echo")])
def test_a_failing_node_gives_its_sentence_and_its_images(run, targets, readouts, caplog, chain):
    with pytest.raises(StreamError, match="ValueError: the third readout is cursed"):
        run(targets(*chain), readouts)
    assert run.indices == [0, 1]
    assert "Traceback" in caplog.text
    assert any(record.name == "gadget.node.fail_at_third" for record in caplog.records)


@pytest.mark.parametrize("chain", [("killed_at_third",), ("echo", "killed_at_third", "echo")])
def test_a_killed_node_is_an_error_and_its_images_are_kept(run, targets, readouts, chain):
    with pytest.raises(StreamError, match="killed_at_third was killed") as caught:
        run(targets(*chain), readouts * 1000)
    assert run.indices == [0, 1]
    assert "memory is short" in str(caught.value)


def test_the_first_node_that_fails_is_told_and_not_those_that_it_starves(run, targets, readouts):
    with pytest.raises(StreamError, match="killed_at_third was killed"):
        run(targets("killed_at_third", "wants_five"), readouts)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wants_missing_package", "No module named 'package_that_does_not_exist'"),
        ("careless", "ended with status 1 after it closed its stream"),
        ("no_such_target", "ended with status 1"),
    ],
)
def test_other_failing_nodes(run, targets, readouts, name, sentence):
    with pytest.raises(StreamError, match=sentence):
        run(targets(name), readouts)


def test_a_node_that_dies_before_it_connects(run, targets, readouts, tmp_path, monkeypatch):
    (tmp_path / "gadgetron.py").write_text("raise SystemExit('gadgetron is broken here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(StreamError, match=r"(?s)status 1 before it connected.*broken here"):
        run(targets("picture") and [Execute("stream_targets", "picture", b"")], readouts)


def test_a_node_that_does_not_connect(run, readouts, tmp_path, monkeypatch):
    (tmp_path / "gadgetron.py").write_text("import time; print('asleep'); time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(gadget.stream.host.process, "CONNECT_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(StreamError, match=r"(?s)did not connect within 1 s.*asleep"):
        run([Execute("stream_targets", "picture", b"")], readouts)
    assert time.monotonic() - started < 10


def test_errors_of_the_input_are_raised_after_its_images(run, targets, readouts):
    def messages():
        yield readouts[0]
        raise DataError("The file ends here.")

    with pytest.raises(DataError, match="ends here"):
        run(targets("picture"), messages())
    assert run.indices == [0]


def test_errors_of_the_caller_end_the_run(targets, readouts, header):
    def disk_full(image):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run_pipeline(targets("picture"), header, readouts, disk_full)


def test_a_pipeline_without_nodes_is_an_error(run, readouts):
    with pytest.raises(ConfigError, match="no nodes"):
        run([], readouts)


def test_what_is_no_image_at_the_end_is_dropped_with_a_warning(run, targets, readouts, caplog):
    assert run(targets("echo"), readouts) == []
    assert caplog.text.count("sends ACQUISITION, which is no image") == 1


def test_a_slow_caller_holds_the_pipeline_back_and_loses_nothing(targets, readouts, header):
    images = []

    def slow(image):
        time.sleep(0.002)
        images.append(image)

    run_pipeline(targets("picture"), header, readouts * 60, slow)
    assert len(images) == 300


@pytest.fixture
def remote(targets):
    """Serves one session of a node in a thread, as a server elsewhere does."""
    targets()
    threads = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(serve_connection) -> Connect:
        def run() -> None:
            connection = Connection(listener.accept()[0])
            serve_connection(connection, connection.read_setup())

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return Connect(Address(*listener.getsockname()), b"")

    yield serve
    listener.close()
    for thread in threads:
        thread.join(20)


def test_a_node_that_is_a_server_is_one_among_others(run, targets, remote, readouts):
    from stream_targets import picture

    run([*targets("echo"), remote(picture.run), *targets("decoded_echo")], readouts)
    assert run.indices == [0, 1, 2, 3, 4]


def test_the_sentence_of_a_server_is_heard(run, remote, readouts):
    from stream_targets import fail_at_third

    with pytest.raises(StreamError, match="ValueError: the third readout is cursed"):
        run([remote(fail_at_third.run)], readouts)
    assert run.indices == [0, 1]


def test_a_server_that_breaks_off_is_an_error(run, remote, readouts):
    def break_off(connection, setup):
        image = encode_bytes(_picture(connection.read()))
        connection.write([image])
        connection.close()

    with pytest.raises(StreamError, match=r"node at 127\.0\.0\.1:\d+ broke the connection in the"):
        run([remote(break_off)], readouts)
    assert run.indices == [0]


def test_the_words_of_a_server_that_is_no_node_are_heard(run, remote, readouts, caplog):
    """As of `score-gadget serve`, whose errors are texts."""

    def explain(connection, setup):
        connection.write([text_message(MessageId.TEXT, b"ERROR    No pipeline came.\n\0")])
        while connection.read().id is not MessageId.CLOSE:
            pass
        connection.write_close()

    run([remote(explain)], readouts)
    assert "says: ERROR    No pipeline came." in caplog.text


def test_a_server_that_is_busy_gets_the_end_of_the_data(run, monkeypatch):
    """However long it takes no more of them, as one that computes with its queue full."""
    monkeypatch.setattr("gadget.stream.wire.connection.LINGER_SECONDS", 0.05)
    theirs, ours = socket.socketpair()
    monkeypatch.setattr("gadget.stream.host.remote.connect", lambda *_: ours)
    full = threading.Event()

    def compute():
        full.wait()
        time.sleep(0.3)
        with closing(Connection(theirs, idle_s=2)) as server:
            while server.read().id is not MessageId.CLOSE:
                pass
            server.write_close()

    def messages():
        fill(ours)
        full.set()
        yield from ()

    thread = threading.Thread(target=compute)
    thread.start()
    assert run([Connect(Address("localhost", 1), b"")], messages()) == []
    thread.join()


def _picture(message):
    from stream_targets import _image

    return _image(decode(message))


def test_a_server_that_is_not_there_is_told_with_what_to_do(header, readouts):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = Address(*free.getsockname())
    with pytest.raises(StreamError, match=f"Nobody answers.*score-gadget node --bind {address}"):
        run_pipeline([Connect(address, b"")], header, readouts, print, connect_s=0.3)


HOST = """
    from gadget.stream.host.run import run_pipeline
    from gadget.stream.host.pipeline import Execute
    import os, sys
    config = b'<configuration><property name="pid_file" value="%s"/></configuration>'
    files, header = sys.argv[1:3], open(sys.argv[3], "rb").read()
    pipeline = [
        Execute("stream_targets", "computes_for_ever", config % os.fsencode(file)) for file in files
    ]
    run_pipeline(pipeline, header, [], print)
"""


STARTING = """
    import os, pathlib, time
    for name in ("one", "two"):
        try:
            with open(pathlib.Path(os.environ["PID_FOLDER"], name), "x") as file:
                file.write(str(os.getpid()))
            break
        except FileExistsError:
            pass
    time.sleep(600)
"""


@pytest.fixture(params=["computing", "starting"])
def busy_nodes(request, targets, tmp_path, monkeypatch):
    """Makes the nodes of `HOST` busy with a computation, or with imports before they connect."""
    targets()
    if request.param == "starting":
        (tmp_path / "gadgetron.py").write_text(textwrap.dedent(STARTING))
        monkeypatch.setenv("PID_FOLDER", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")


@pytest.mark.usefixtures("busy_nodes")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nodes_do_not_outlive_the_host(header, tmp_path, number):
    (tmp_path / "header").write_bytes(header)
    files = [tmp_path / "one", tmp_path / "two"]
    arguments = [str(path) for path in (*files, tmp_path / "header")]
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOST), *arguments], stderr=subprocess.PIPE
    )
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert all(alive(pid) for pid in pids)
    host.send_signal(number)
    host.communicate(timeout=10)
    assert host.returncode != 0
    wait_until(lambda: not any(alive(pid) for pid in pids), 5)


def test_recorded_images_are_those_of_the_messages(run, targets, recording):
    _, header, *data = messages_in(recording("acq"))
    messages = [message.id.to_bytes(2, "little") + message.payload for message in data[:-1]]
    run(targets("picture"), messages, bytes(header.payload[4:]))
    readouts = [decode(message) for message in data[:-1]]
    assert len(run.images) == len(readouts) == 143
    np.testing.assert_array_equal(run.images[7].data[:, 0, 0], np.abs(readouts[7].data))
