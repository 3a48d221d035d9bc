"""Targets of `python -m gadgetron` that the tests start."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from gadget.errors import DataError
from gadget.stream.node import node
from gadget.stream.session import Session
from gadget.stream.wire.messages import MessageId

TEST_SETTINGS = "stream_target_settings:TestSettings"


@node(TEST_SETTINGS, accepts=())
def echo(session: Session) -> None:
    """Send everything back as it came."""
    for _ in session:
        pass


@node(TEST_SETTINGS, accepts=tuple(MessageId))
def decoded_echo(session: Session) -> None:
    """Decode everything and encode it again."""
    for item in session:
        session.send(item)


def _image(acquisition):
    import ismrmrd
    import numpy as np

    picture = np.abs(acquisition.data[:, None, None, :]).astype(np.float32)
    return ismrmrd.Image.from_array(
        picture, transpose=False, image_index=acquisition.scan_counter, image_series_index=3
    )


@node(TEST_SETTINGS)
def picture(session: Session) -> None:
    """Make an image of each readout."""
    for count, item in enumerate(session):
        session.progress("imaging", done=count, total=-1)
        session.send(_image(item))


@node(TEST_SETTINGS)
def fail_at_third(session: Session) -> None:
    """Make two images, then fail."""
    for count, item in enumerate(session):
        if count == 2:
            raise ValueError("the third readout is cursed")
        session.send(_image(item))


@node(TEST_SETTINGS)
def wants_five(session: Session) -> None:
    """Pass on what comes; fail if that is too little."""
    count = 0
    for item in session:
        session.send(item)
        count += 1
    if count < 5:
        raise DataError(f"Only {count} readouts came.")


@node(TEST_SETTINGS)
def killed_at_third(session: Session) -> None:
    """Make two images, then be killed as by a machine out of memory."""
    for count, item in enumerate(session):
        if count == 2:
            print("memory is short", flush=True)  # noqa: T201
            os.kill(os.getpid(), signal.SIGKILL)
        session.send(_image(item))


@node(TEST_SETTINGS)
def wants_missing_package(session: Session) -> None:
    """Need a package that is not installed."""
    import package_that_does_not_exist  # noqa: F401


@node(TEST_SETTINGS)
def exits(session: Session) -> None:
    """End the process as a careless library does."""
    raise SystemExit(0)


@node(TEST_SETTINGS)
def computes_for_ever(session: Session) -> None:
    """Say who it is and never come back to the stream."""
    file = Path(session.settings.pid_file)
    part = file.with_suffix(".part")  # who waits for the file reads it at once
    part.write_text(str(os.getpid()))
    part.rename(file)
    while True:
        time.sleep(0.5)


@node(TEST_SETTINGS)
def done_early(session: Session) -> None:
    """Take one item and return."""
    for item in session:
        session.send(_image(item))
        return


def careless(connection) -> None:
    """Fail the way a plain gadgetron-python node fails: its CLOSE looks like success."""
    raise RuntimeError("nobody hears this")


def record(connection) -> None:
    """Write what arrives to the file that `RECORD_FILE` names, byte for byte."""
    from gadget.stream.wire.gadgetron_socket import take_socket
    from gadget.stream.wire.messages import UINT16

    setup = connection.raw_bytes.config, connection.raw_bytes.header
    ours = take_socket(connection)
    with Path(os.environ["RECORD_FILE"]).open("wb") as file:
        for number, text in enumerate(setup, 2):
            file.write(UINT16.pack(number) + len(text).to_bytes(4, "little") + text)
        while (message := ours.read()).id is not MessageId.CLOSE:
            file.write(UINT16.pack(message.id) + message.payload)
    ours.write_close()
    ours.close()
