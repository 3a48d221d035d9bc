from __future__ import annotations

from dataclasses import replace
from itertools import chain

import ismrmrd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readout_blocks import cut

from gadget.errors import DataError
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.buffers.plain_lines import PlainLines

FLAGS = (
    "LAST_IN_SLICE",
    "LAST_IN_REPETITION",
    "LAST_IN_MEASUREMENT",
    "IS_REVERSE",
    "IS_NAVIGATION_DATA",
    "IS_PARALLEL_CALIBRATION",
    "IS_PARALLEL_CALIBRATION_AND_IMAGING",
    "IS_SURFACECOILCORRECTIONSCAN_DATA",
    "FIRST_IN_SLICE",
)
LIMITS = {"kspace_encoding_step_1": (0, 7, 4), "average": (0, 1, 0)}


KINDS = st.fixed_dictionaries(
    {
        "counters": st.fixed_dictionaries(
            {
                "slice": st.integers(0, 1),
                "average": st.integers(0, 1),
                "repetition": st.integers(0, 1),
            }
        ),
        "flag": st.none() | st.sampled_from(FLAGS),
        "coils": st.sampled_from([3, 3, 3, 0, 2, 4]),
        "samples": st.sampled_from([16, 16, 16, 8, 12, 20]),
        "discard": st.sampled_from([0, 0, 0, 3, 16]),
    }
)
LINES = st.fixed_dictionaries(
    {
        "ky": st.integers(0, 8),
        "damage": st.sampled_from([None] * 8 + ["nan", "zeros", "dead coil"]),
    }
)


@st.composite
def readouts(draw):
    """Rows of what makes readouts, of a few kinds that take turns."""
    kinds = draw(st.lists(KINDS, min_size=1, max_size=4))
    order = draw(st.lists(st.tuples(st.sampled_from(kinds), LINES), min_size=1, max_size=40))
    return [kind | line for kind, line in order]


def _stream(scan, rows):
    random = np.random.default_rng(0)
    for number, row in enumerate(rows):
        shape = row["coils"], row["samples"]
        samples = (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)
        if row["damage"] == "nan":
            samples[:] = np.nan
        elif row["damage"] == "dead coil":
            samples[:1] = np.nan
        elif row["damage"] == "zeros":
            samples[:] = 0
        one = scan.readout(samples, kspace_encode_step_1=row["ky"], **row["counters"])
        one.scan_counter = number
        one.discard_pre = row["discard"]
        if row["flag"]:
            one.set_flag(getattr(ismrmrd, f"ACQ_{row['flag']}"))
        yield one


def _outcome(scan, readouts):
    """All that comes of a stream: buffers after each readout, warnings, the error at the end."""
    warnings: list[str] = []
    gatherer = Gatherer(scan.header, warnings.append)
    ready = [gatherer.add(one) for one in readouts]
    error = None
    try:
        ready += [[one] for one in gatherer.finish()]
    except DataError as raised:
        error = str(raised)
    contents = [
        [
            (one.kspace.data.tobytes(), one.kspace.weight.tobytes(), one.headers.tobytes())
            for one in buffers
        ]
        for buffers in ready
    ]
    return contents, warnings, error


@pytest.fixture(params=[(averages, one) for averages in (0, 1) for one in (None, "embedded")])
def scan(make_scan, request):
    averages, calibration = request.param
    limits = LIMITS if averages else {"kspace_encoding_step_1": LIMITS["kspace_encoding_step_1"]}
    return replace(make_scan(), limits=limits, calibration=calibration)


def test_nothing_else_comes_of_lines_that_are_known(scan):
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(readouts())
    def compare(rows):
        found = _outcome(scan, _stream(scan, rows))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PlainLines, "learn", lambda *arguments: None)
            assert found == _outcome(scan, _stream(scan, rows))

    compare()


def test_nothing_else_comes_of_readouts_in_blocks(scan):
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(readouts(), st.lists(st.integers(1, 20), min_size=1, max_size=5))
    def compare(rows, sizes):
        buffers, *others = _outcome(scan, _stream(scan, rows))
        found, *others_found = _outcome(scan, cut(_stream(scan, rows), sizes))
        assert list(chain(*found)) == list(chain(*buffers))
        assert others_found == others

    compare()


def test_lines_are_known_from_the_second_on(make_scan, monkeypatch):
    scan = make_scan()
    added = []
    add = PlainLines.add
    monkeypatch.setattr(PlainLines, "add", lambda *all_: added.append(add(*all_)) or added[-1])
    gatherer = Gatherer(scan.header)
    for slices in zip(*(scan.readouts(scan.image(), slice=n) for n in range(2)), strict=True):
        for one in slices:
            gatherer.add(one)
    assert len(list(gatherer.finish())) == 2
    assert added == [0] * 2 + [1] * 14
