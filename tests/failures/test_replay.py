"""Accidents to a replay, caused in real processes."""

from __future__ import annotations

import os
import resource
import signal

from waiting import wait_until

from gadget.mrd.images.reader import read_images


def test_a_node_killed_in_the_middle_of_a_slice(start, raw, pipeline, tmp_path):
    replay = start("replay", raw, "-o", "out.h5", "-c", pipeline("stalls"))
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text() != "")
    os.kill(int(pid.read_text()), signal.SIGKILL)
    _, log = replay.communicate(timeout=30)
    assert replay.returncode == 1
    assert "The node stalls was killed (SIGKILL: the machine may be out of memory)" in log
    assert [image.slice for image in read_images(tmp_path / "out.h5")] == [0]


def test_a_full_disk(start, raw, pipeline, tmp_path):
    size = 2 * 256 * 256 * 4 + 100_000  # two of the three images, and what HDF5 adds
    replay = start(
        *("replay", raw, "-o", "out.h5", "-c", pipeline("pictures")),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    _, log = replay.communicate(timeout=30)
    assert replay.returncode == 1
    assert "Image 3 could not be written to 'out.h5': File too large. Make room" in log
    images = read_images(tmp_path / "out.h5")
    assert [image.slice for image in images] == [0, 1]
    assert all((image.data == image.slice).all() for image in images)
    assert {path.name for path in tmp_path.iterdir()} == {"raw.h5", "pipeline.xml", "out.h5"}


def test_a_full_device(start, raw, pipeline):
    replay = start("replay", raw, "-o", "/dev/full", "-c", pipeline("pictures"))
    assert "'/dev/full' is no regular file; the images need one." in replay.communicate()[1]
    assert replay.returncode == 2
