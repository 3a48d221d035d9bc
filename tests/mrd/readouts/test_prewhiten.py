from __future__ import annotations

from itertools import chain

import ismrmrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readout_blocks import cut

from gadget.errors import StreamError
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.mrd.readouts.prewhiten import NOISE_ESTIMATION_READOUTS, Prewhitener
from gadget.mrd.xml_header.header import Header
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.stream.wire.codec import encode_bytes

COILS = 4
NOISE = (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,)
NAVIGATOR = (ismrmrd.ACQ_IS_NAVIGATION_DATA,)
LAST = (ismrmrd.ACQ_LAST_IN_SLICE,)


def _mixing() -> np.ndarray:
    random = np.random.default_rng(9)
    mixed = random.normal(size=(2, COILS, COILS))
    return np.eye(COILS) + 0.4 * (mixed[0] + 1j * mixed[1])


def _noise(samples: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    white = random.normal(size=(2, COILS, samples)) / np.sqrt(2)
    return (_mixing() @ (white[0] + 1j * white[1])).astype(np.complex64)


def _readout(data: np.ndarray, number: int = 0, *flags: int, dwell: float = 5.0):
    head = ismrmrd.AcquisitionHeader()
    head.scan_counter = number
    head.active_channels, head.number_of_samples = data.shape
    head.sample_time_us = dwell
    one = ismrmrd.Acquisition(head, data.astype(np.complex64))
    for flag in flags:
        one.set_flag(flag)
    return one


def _noise_scan(count: int = 4, dwell: float = 5.0, scale: float = 1.0):
    return [
        _readout(scale * _noise(4096, 100 + i), i, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, dwell=dwell)
        for i in range(count)
    ]


def _data(count: int, dwell: float = 5.0, scale: float = 1.0):
    return [_readout(scale * _noise(256, i), i, dwell=dwell) for i in range(count)]


def _whiten(readouts, header: Header | None = None):
    return list(Prewhitener(header or Header(())).whiten(readouts))


def _check_white(readouts, variance: float = 1.0, tolerance: float = 0.08):
    samples = np.concatenate([one.data for one in readouts], axis=1)
    covariance = samples @ samples.conj().T / samples.shape[1]
    np.testing.assert_allclose(covariance, variance * np.eye(COILS), atol=tolerance * variance)


def test_readouts_are_white_and_in_order_and_noise_is_dropped():
    ready = _whiten([*_noise_scan(), *_data(150)])
    assert [one.scan_counter for one in ready] == list(range(150))
    assert {one.data.dtype for one in ready} == {np.dtype(np.complex64)}
    _check_white(ready)


@pytest.mark.parametrize(
    ("noise", "data", "relative", "variance"),
    [(5, 20, None, 4), (5, 20, 0.8, 3.2), (0, 20, 0.8, 1), (5, 0, 0.8, 1)],
)
def test_another_bandwidth_is_allowed_for(make_scan, noise, data, relative, variance):
    extra = ""
    if relative:
        extra = (
            "<acquisitionSystemInformation><relativeReceiverNoiseBandwidth>"
            f"{relative}</relativeReceiverNoiseBandwidth></acquisitionSystemInformation>"
        )
    header = parse_header(make_scan(extra=extra).xml)
    _check_white(_whiten([*_noise_scan(dwell=noise), *_data(100, data)], header), variance)


def test_noise_readouts_of_different_bandwidth_count_alike():
    scan = [*_noise_scan(2, 5.0, 1.0), *_noise_scan(2, 20.0, 0.5)]
    _check_white(_whiten([*scan, *_data(100, 5.0)]))


def test_without_a_noise_scan_the_edge_of_kspace_tells(caplog):
    readouts = _data(200, scale=7.0)
    for one in readouts:
        one.data[:, 100:156] += 1000
    ready = _whiten(readouts)
    assert [one.scan_counter for one in ready] == list(range(200))
    edges = [_readout(one.data[:, :50]) for one in ready]
    _check_white(edges, tolerance=0.2)
    assert "no noise scan" in caplog.text


def test_a_first_readout_of_other_coils_does_not_cut_the_noise_estimate_short():
    stray = _readout(_noise(256, 999)[:2])
    stranger, *ready = _whiten([stray, *_data(200, scale=7.0)])
    assert stranger.active_channels == 2
    assert len(ready) == 200
    _check_white(ready, tolerance=0.2)


@pytest.mark.parametrize("place", [0, 1, 60])
def test_a_readout_without_coils_passes_on_and_changes_nothing(place):
    readouts = _data(100)
    readouts.insert(place, _readout(np.zeros((0, 256)), 999))
    ready = _whiten(readouts)
    assert [one.scan_counter for one in ready] == [one.scan_counter for one in readouts]
    _check_white([one for one in ready if one.active_channels], tolerance=0.3)


@pytest.mark.parametrize("shape", [(0, 256), (COILS, 0)])
def test_a_noise_readout_without_samples_is_no_noise_scan(shape, caplog):
    empty = _readout(np.zeros(shape), 0, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    _check_white(_whiten([empty, *_data(100)]), tolerance=0.3)
    assert "A noise readout holds no sample" in caplog.text


def test_readouts_of_zeros_pass_on_with_a_warning(caplog):
    readouts = [_readout(np.zeros((COILS, 64)), i) for i in range(3)]
    assert [one.scan_counter for one in _whiten(readouts)] == [0, 1, 2]
    assert "unwhitened" in caplog.text


def test_few_readouts_are_held_back():
    whitener = Prewhitener(Header(()))
    held = longest = 0
    for one in _data(300):
        held += 1 - len(whitener.add(one))
        longest = max(longest, held)
    assert longest <= NOISE_ESTIMATION_READOUTS


def test_what_is_held_back_comes_before_an_error_of_the_input():
    def broken():
        yield from _data(3)
        raise StreamError("the other end is gone")

    whitened = Prewhitener(Header(())).whiten(broken())
    assert [next(whitened).scan_counter for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StreamError, match="gone"):
        next(whitened)


def test_a_flag_releases_what_is_held_back():
    whitener = Prewhitener(Header(()))
    readouts = _data(5)
    readouts[-1].set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
    assert [len(whitener.add(one)) for one in readouts] == [0, 0, 0, 0, 5]


@pytest.mark.parametrize("flag", ["AVERAGE", "CONTRAST", "PHASE", "SET"])
def test_a_flag_that_completes_no_image_releases_nothing(flag):
    whitener = Prewhitener(Header(()))
    readouts = _data(NOISE_ESTIMATION_READOUTS)
    readouts[0].set_flag(getattr(ismrmrd, f"ACQ_LAST_IN_{flag}"))
    assert [len(whitener.add(one)) for one in readouts] == [0] * (NOISE_ESTIMATION_READOUTS - 1) + [
        NOISE_ESTIMATION_READOUTS
    ]


def test_with_a_noise_scan_nothing_is_held_back():
    whitener = Prewhitener(Header(()))
    for one in _noise_scan():
        whitener.add(one)
    assert [len(whitener.add(one)) for one in _data(5)] == [1] * 5


def test_a_noise_scan_after_the_first_readouts_still_counts():
    ready = _whiten([*_data(5), *_noise_scan(), *_data(100)])
    assert len(ready) == 105
    _check_white(ready)


def test_noise_in_the_middle_of_a_scan_changes_nothing():
    readouts = _data(100)
    expected = _whiten([*_noise_scan(), *readouts])
    got = _whiten([*_noise_scan(), *readouts[:50], *_noise_scan(scale=9), *readouts[50:]])
    np.testing.assert_array_equal(expected[-1].data, got[-1].data)


def test_lines_that_are_flagged_for_coil_correction_are_whitened():
    readouts = _data(100)
    for one in readouts:
        one.set_flag(ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
    _check_white(_whiten([*_noise_scan(), *readouts]))


def test_adjustment_readouts_of_other_coils_pass_on_unchanged():
    body = _readout(np.ones((2, 16)), 7, ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
    ready = _whiten([*_noise_scan(), *_data(3), body, *_data(3)])
    assert [one.active_channels for one in ready] == [COILS] * 3 + [2] + [COILS] * 3
    np.testing.assert_array_equal(ready[3].data, np.ones((2, 16)))


def test_data_of_other_coils_than_the_noise_stay_as_they_are(caplog):
    (ready,) = _whiten([*_noise_scan(), _readout(np.ones((2, 16)), 3)])
    np.testing.assert_array_equal(ready.data, np.ones((2, 16)))
    assert "Readout 3 has 2 coils, but the noise scan has 4" in caplog.text


def test_other_coils_with_a_noise_scan_of_their_own_are_whitened():
    other = [_readout(5 * _noise(4096, 3)[:2], 0, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    ready = _whiten([*_noise_scan(), *_data(2), *other, _readout(5 * _noise(4096, 4)[:2], 1)])
    assert np.mean(np.abs(ready[-1].data) ** 2) == pytest.approx(1, rel=0.1)


def test_damaged_samples_do_not_spread():
    noise, data = _noise_scan(), _data(3)
    noise[0].data[0, 0] = np.nan
    data[1].data[0, 0] = np.nan
    ready = _whiten([*noise, *data])
    assert [bool(np.isfinite(one.data).all()) for one in ready] == [True, False, True]


def test_headers_are_copied_and_readouts_not_changed():
    readouts = [*_noise_scan(), *_data(3)]
    before = [one.to_bytes() for one in readouts]
    ready = _whiten(readouts)
    ready[0].scan_counter = 99
    assert [one.to_bytes() for one in readouts] == before
    assert bytes(ready[1].getHead()) == bytes(readouts[-2].getHead())


def test_signal_at_the_edge_of_k_space_is_not_taken_for_noise(caplog):
    # A small object far from noise: its k-space hardly decays, and neighbouring samples are alike.
    kx = np.arange(64) - 32
    gains = np.array([1, 0.5, 2j, -1])[:, None]
    readouts = [
        _readout(gains * np.exp(-0.5 * (kx / 20) ** 2 + 0.1j * kx * (1 + i / 64)), i)
        for i in range(40)
    ]
    ready = _whiten(readouts)
    assert [one.scan_counter for one in ready] == list(range(40))
    for one, original in zip(ready, readouts, strict=True):
        np.testing.assert_array_equal(one.data, original.data)
    assert "unwhitened" in caplog.text


@st.composite
def scans(draw):
    """Readouts of a few kinds that take turns, with or without a noise scan."""
    kind = st.fixed_dictionaries(
        {
            "coils": st.sampled_from([COILS, COILS, COILS, 0, 1, 2]),
            "samples": st.sampled_from([64, 64, 63, 1]),
            "flag": st.sampled_from([(), (), (), NOISE, NAVIGATOR, LAST]),
            "dwell": st.sampled_from([5.0, 5.0, 20.0]),
            "damage": st.sampled_from([0, 0, 0, 1, COILS]),
        }
    )
    kinds = draw(st.lists(kind, min_size=1, max_size=4))
    runs = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(1, 8)), max_size=12))
    return draw(st.booleans()), [kind for kind, count in runs for _ in range(count)]


def _scan(with_noise, kinds):
    yield from _noise_scan() if with_noise else ()
    for number, kind in enumerate(kinds):
        samples = _noise(kind["samples"], number)[: kind["coils"]]
        samples[: kind["damage"]] = np.nan
        yield _readout(samples, number, *kind["flag"], dwell=kind["dwell"])


def test_blocks_are_whitened_to_the_same_bits():
    @settings(max_examples=200, deadline=None)
    @given(scans(), st.lists(st.integers(1, 40), min_size=1, max_size=5))
    def compare(scan, sizes):
        expected = _whiten(_scan(*scan))
        items = _whiten(cut(_scan(*scan), sizes))
        found = chain(*(one if isinstance(one, ReadoutBlock) else [one] for one in items))
        assert [encode_bytes(one) for one in found] == [encode_bytes(one) for one in expected]

    compare()


def test_a_block_does_not_overtake_readouts_that_are_held_back():
    first = _data(NOISE_ESTIMATION_READOUTS)
    held = _readout(_noise(256, 99)[:2], 99)
    ready = _whiten([*first, held, ReadoutBlock.of(_data(5))])
    assert [one.scan_counter for one in ready[len(first) :]] == [99, *range(5)]


def test_a_block_stays_whole():
    block = ReadoutBlock.of(_data(5))
    (white,) = _whiten([*_noise_scan(), _data(1)[0], block])[1:]
    assert isinstance(white, ReadoutBlock)
    _check_white(list(white), tolerance=0.3)
