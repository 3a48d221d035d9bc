from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.inspection.inspect_file import inspect_file
from gadget.mrd.readouts.dead_coils import DeadCoils
from gadget.mrd.readouts.prewhiten import Prewhitener

NOISE = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
DEAD = 1


def _noise_scan(scan):
    random = np.random.default_rng(0)
    parts = random.normal(size=(4, scan.coils, 512, 2))
    return [scan.readout(one.view(np.complex128)[..., 0], NOISE) for one in parts]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("in_noise", [True, False])
def test_a_coil_without_numbers_costs_only_itself(make_scan, caplog, value, in_noise):
    scan = make_scan()
    noise, readouts = _noise_scan(scan), scan.readouts(scan.image())
    for one in [*noise, *readouts] if in_noise else readouts:
        one.data[DEAD] = value
    white = Prewhitener(scan.header).whiten([*noise, *readouts])
    (buffer,) = Gatherer(scan.header).gather(white)
    assert buffer.kspace.mask.all()
    assert np.isfinite(buffer.kspace.data).all()
    energy = np.linalg.norm(buffer.kspace.data[:, 0], axis=(1, 2))
    assert energy[0] > 1
    assert energy[2] > 1
    assert caplog.text.count(f"NaN or infinite: {DEAD} (the first is 0)") == 1


def test_without_a_prewhitener_too(make_scan, caplog):
    scan = make_scan()
    whole, damaged = (scan.readouts(scan.image()) for _ in range(2))
    for one in damaged:
        one.data[DEAD] = np.nan
    (expected,), (found,) = (list(Gatherer(scan.header).gather(one)) for one in (whole, damaged))
    np.testing.assert_array_equal(found.kspace.data[[0, 2]], expected.kspace.data[[0, 2]])
    assert not found.kspace.data[DEAD].any()
    assert len(caplog.messages) == 1


def test_one_number_is_a_sign_of_life():
    told: list[str] = []
    coils = DeadCoils(told.append)
    samples = np.ones((3, 4), np.complex64)
    samples[[0, DEAD], :3] = np.nan
    assert coils.silenced(samples, 0) is samples
    samples[DEAD] = np.nan
    assert coils.silenced(samples, 0) is samples, "it has sent a number"
    assert not told


def test_a_readout_without_any_number_tells_nothing():
    coils = DeadCoils(lambda _: None)
    damaged = np.full((3, 4), np.nan, np.complex64)
    assert coils.silenced(damaged, 0) is damaged
    samples = np.ones((3, 4), np.complex64)
    samples[DEAD] = np.nan
    assert np.isfinite(coils.silenced(samples, 0)).all()


def test_inspect_says_what_the_pipeline_does(make_scan, raw_file):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    for one in readouts:
        one.data[DEAD] = np.nan
    facts = inspect_file(raw_file(scan.xml, readouts)).facts
    assert facts.pipeline.images == 1
    assert facts.pipeline.problem is None
    (told,) = [one for one in facts.oddities if "NaN" in one]
    assert f"infinite: {DEAD} " in told
