"""Progress lines say what was told, and other lines are not taken for them."""

from __future__ import annotations

import pytest

from gadget.stream.progress import PREFIX, WANTED, Progress, ProgressWriter, parse_progress


@pytest.fixture
def wanted(monkeypatch):
    monkeypatch.setenv(WANTED, "1")


@pytest.mark.usefixtures("wanted")
def test_round_trip(capsys):
    ProgressWriter("reconstruct").write("sampling\nslice 3", {"done": 4, "total": 30})
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert parse_progress(line) == Progress(
        "reconstruct", "sampling\nslice 3", {"done": 4, "total": 30}
    )


def test_a_log_that_no_host_reads_is_not_filled(capsys):
    ProgressWriter("reconstruct").write("sampling", {"done": 30, "total": 30})
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("wanted")
def test_lines_do_not_flood(capsys):
    writer = ProgressWriter("reconstruct")
    for step in range(1, 1001):
        writer.write("sampling", {"done": step, "total": 1000})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 100
    assert parse_progress(lines[-1]).fields["done"] == 1000


@pytest.mark.parametrize("line", ["", "hello", PREFIX, PREFIX + "{}", PREFIX + "[1]", PREFIX + "{"])
def test_other_lines_are_not_progress(line):
    assert parse_progress(line) is None


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"done": 3, "total": 30}, (3, 30)),
        ({"done": 0, "total": -1}, (0, 0)),
        ({"done": 3, "total": "many"}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_steps_of_a_node_that_counts_them(fields, steps):
    assert Progress("reconstruct", "sampling", fields).steps == steps
