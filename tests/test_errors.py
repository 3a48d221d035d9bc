"""What other libraries say, in words."""

from __future__ import annotations

import errno

import h5py
import pytest

from gadget.errors import DataError, FirstError, StreamError, reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "x.npy"), "No such file or directory"),
        (OSError("Truncated.\nMore of that."), "Truncated"),
        (ValueError("Too many values."), "Too many values"),
        (
            RuntimeError("\nCUDA error: misaligned address\nMore of that."),
            "CUDA error: misaligned address",
        ),
        (KeyError(), "KeyError"),
    ],
)
def test_reasons_have_no_numbers_and_no_full_stop(error, words):
    assert reason(error) == words


def test_hdf5_tells_the_number_of_the_error_alone(tmp_path):
    with pytest.raises(OSError, match="errno = 2") as caught:
        h5py.File(tmp_path / "none.h5", "r")
    assert reason(caught.value) == "No such file or directory"


def test_an_error_of_one_part_costs_no_other():
    errors = FirstError()
    errors.check()
    done = []
    for part in range(4):
        with errors.kept():
            if part % 2:
                raise DataError(f"Part {part} is damaged.")
            done.append(part)
    assert done == [0, 2]
    with pytest.raises(DataError, match="Part 1"):
        errors.check()
    with pytest.raises(StreamError), errors.kept():
        raise StreamError("Of another kind: it ends the work.")
