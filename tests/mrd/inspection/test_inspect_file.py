from __future__ import annotations

import itertools
import warnings

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.inspection.inspect_file import inspect_file
from gadget.mrd.inspection.picture import draw, save_picture
from gadget.mrd.inspection.sampling import describe, partial_fourier_factor
from gadget.mrd.inspection.survey import KINDS
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts import flags
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.mrd.xml_header.header_reader import parse_header

LAST_IN_SLICE = 1 << (ismrmrd.ACQ_LAST_IN_SLICE - 1)
NOISE = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
CALIBRATION = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1)


@pytest.fixture
def inspect(make_scan, raw_file):
    """Inspects a file of readouts."""
    names = itertools.count()

    def run(readouts, scan=None, xml=None, waveforms=()):
        xml = xml or (scan or make_scan()).xml
        name = f"raw{next(names)}.h5"
        return inspect_file(raw_file(xml, readouts, name=name, waveforms=waveforms))

    return run


def lines(*patterns):
    return np.array([[int(one) for one in row] for row in patterns], bool)


@pytest.mark.parametrize(
    ("mask", "name", "step", "centre"),
    [
        (lines("11111111"), "complete", (1, 1), (8, 1)),
        (lines("00111111"), "complete", (1, 1), (5, 1)),
        (lines("10101010"), "uniform", (2, 1), (1, 1)),
        (lines("01010101"), "uniform", (2, 1), (0, 0)),
        (lines("1001001111001001"), "uniform", (3, 1), (4, 1)),
        (lines("1001010011001001"), "irregular", None, (1, 1)),
        (lines("1010", "0000", "1010", "0000"), "uniform", (2, 2), (1, 1)),
        (lines("101010", "000000", "101110", "001110", "101010"), "uniform", (2, 2), (3, 1)),
        (lines("1000", "0100", "0010", "0001"), "irregular", None, (1, 1)),
        (lines("0000", "0110", "0110", "0000"), "complete", (1, 1), (2, 2)),
    ],
)
def test_patterns_are_recognised(mask, name, step, centre):
    assert describe(mask) == (name, step, centre)


@pytest.mark.parametrize(
    ("first", "last", "size", "share"),
    [
        (0, 15, 16, 1),
        (0, 14, 15, 1),
        (4, 11, 16, 1),  # fewer lines on both sides is no partial Fourier
        (4, 15, 16, 0.75),
        (0, 11, 16, 0.75),
        (5, 14, 15, 0.667),
        (1, 15, 16, 1),
    ],
)
def test_partial_fourier_is_what_one_side_lacks(first, last, size, share):
    along = np.zeros(size, bool)
    along[first : last + 1] = True
    assert partial_fourier_factor(along) == share


def test_every_flag_that_is_no_line_has_a_name():
    assert sum(KINDS.values()) == flags.NOT_IMAGE | flags.COIL_CORRECTION


@pytest.mark.parametrize(
    ("unflagged", "kinds"), [(0, {"image": 8}), (8, {"surface coil correction": 8, "image": 8})]
)
def test_lines_for_coil_correction_are_those_of_the_image_where_there_are_no_others(
    inspect, make_scan, unflagged, kinds
):
    readouts = make_scan().readouts(make_scan().image())
    for one in readouts:
        one.set_flag(ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
    others = make_scan().readouts(make_scan().image())[:unflagged]
    facts = inspect([*readouts, *others]).facts
    assert facts.kinds == kinds
    assert (facts.encodings[0].image_readouts, facts.pipeline.images) == (8, 1)


def test_a_simulated_scan_is_described(tmp_path):
    path = tmp_path / "raw.h5"
    scan = SimulatedScan(matrix=32, coils=3, slices=2, acceleration=2, centre_fraction=0.25)
    write_simulation(path, scan)
    facts = inspect_file(path).facts
    assert (facts.format, facts.group, facts.file_bytes) == (
        "ISMRMRD",
        "dataset",
        path.stat().st_size,
    )
    assert (facts.vendor, facts.field_strength_t, facts.h1_frequency_mhz) == (
        *("score-gadget", 3.0, 123.25),
    )
    assert (facts.measurement_id, facts.patient_position) == (
        "simulated_phantom_1_1",
        "HFS",
    )
    assert facts.kinds == {"noise": 8, "image": 32}
    noise = facts.noise
    assert (noise.readouts, noise.coils, noise.samples, noise.dwell_us) == (8, [3], [64], [2.5])
    (encoding,) = facts.encodings
    assert encoding.encoded.matrix == (64, 32, 1)
    assert encoding.recon.field_of_view_mm == (220, 220, 5)
    assert encoding.limits["kspace_encoding_step_1"] == (0, 31, 16)
    assert encoding.counters["slice"] == 2
    assert (encoding.coils, encoding.samples, encoding.dwell_us) == ([3], [64], [4.0])
    assert (encoding.readout_oversampling, encoding.echo) == (2, 1)
    assert (encoding.calibration_mode, encoding.shared_readouts) == ("embedded", 16)
    sampling = encoding.sampling
    assert (sampling.lines, sampling.grid_lines, sampling.acceleration) == ((16, 16), 32, 2)
    assert sampling.pattern == "irregular"
    assert sampling.centre[0] >= 8
    assert sampling.alike
    (series,) = facts.pipeline.series
    assert (series.series, series.images, series.matrix) == (0, 2, (32, 32, 1))
    assert facts.pipeline.kspace_bytes == 3 * 32 * 32 * 8
    assert facts.pipeline.problem is None
    assert facts.oddities == []


def test_it_makes_of_a_file_what_the_gatherer_makes_of_it(make_scan, raw_file):
    limits = {"kspace_encoding_step_1": (0, 7, 4), "kspace_encoding_step_2": (0, 3, 2)}
    scan = make_scan(encoded=(16, 8, 4), recon=(8, 8, 4), limits=limits, calibration="separate")
    readouts = []
    for repetition in (0, 1):
        some = scan.readouts(scan.image(), ky=(1, 3, 4, 5, 7), repetition=repetition)
        for one in some[:3]:
            one.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        readouts += some
    path = raw_file(scan.xml, readouts)
    found = inspect_file(path)
    with RawFile(path) as raw:
        gatherer = Gatherer(parse_header(raw.header_xml))
        buffers = [one for a in raw.acquisitions() for one in gatherer.add(a)]
        buffers += gatherer.finish()
    assert found.facts.pipeline.images == len(buffers) == 2
    np.testing.assert_array_equal(found.masks[0], buffers[0].kspace.mask)
    assert found.facts.pipeline.kspace_bytes == buffers[0].kspace.data.nbytes
    (encoding,) = found.facts.encodings
    assert encoding.sampling.acceleration == pytest.approx(buffers[0].kspace.acceleration, abs=1e-3)
    assert (encoding.image_readouts, encoding.calibration_readouts) == (34, 6)
    assert encoding.sampling.lines == (17, 17)


def test_partial_echo_and_reversed_readouts(make_scan, inspect):
    scan = make_scan()
    head = scan.readout(np.ones((3, 12)), LAST_IN_SLICE).getHead()
    head.center_sample = 4
    head.flags |= flags.REVERSE
    readout = ismrmrd.Acquisition(head, np.ones((3, 12), np.complex64))
    (encoding,) = inspect([readout]).facts.encodings
    assert (encoding.echo, encoding.reversed_readouts) == (0.75, 1)


def test_what_is_odd_about_readouts_is_said(make_scan, inspect):
    scan = make_scan(limits={"kspace_encoding_step_1": (0, 5, 4), "slice": (0, 0, 0)})
    readouts = scan.readouts(scan.image(), slice=3)
    readouts[2].data[:] = np.nan
    readouts[3].data[:] = 0
    noise = scan.readout(np.ones((4, 16)), NOISE)
    oddities = inspect([noise, *readouts], scan).facts.oddities
    for expected in (
        "There is 1 readout with samples that are not finite",
        "There is 1 readout with nothing but zeros",
        "No readout is flagged as the last",
        "The noise scan has 4 coils: readouts of 3 coils cannot be whitened",
        "kspace_encode_step_1 6 to 7, beyond the encodingLimits of 0 to 5",
        "slice 3, beyond the encodingLimits of 0 to 0",
    ):
        assert any(expected in one for one in oddities), expected
    assert len(oddities) == 6


def test_lines_of_zeros_are_not_measured(make_scan, inspect):
    readouts = make_scan().readouts(make_scan().image())
    for one in readouts[1::2]:
        one.data[:] = 0
    found = inspect(readouts).facts
    sampling = found.encodings[0].sampling
    assert (sampling.lines, sampling.pattern, sampling.acceleration) == ((4, 4), "uniform", 2)
    assert sum("zeros" in one for one in found.oddities) == 1


def test_damaged_samples_are_no_warning_of_numpy(make_scan, inspect):
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    readouts[2].data.view(np.uint32)[:] = 0x7FA00000  # a NaN that any use of it tells
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oddities = inspect(readouts, scan).facts.oddities
    assert any("samples that are not finite" in one for one in oddities)


def test_images_with_fewer_lines_are_named(make_scan, inspect):
    scan = make_scan()
    readouts = []
    for number in range(9):
        missing = 2 if number in (4, 7) else 0
        readouts += scan.readouts(scan.image(), ky=range(8 - missing), slice=number)
    found = inspect(readouts, scan).facts
    (odd,) = [one for one in found.oddities if "fewer lines" in one]
    assert "slice 4" in odd and "slice 7" in odd and "(6 of 8)" in odd and "slice 5" not in odd
    sampling = found.encodings[0].sampling
    assert (sampling.lines, sampling.alike) == ((6, 8), False)


def test_lines_that_come_twice_without_averages_are_named(make_scan, inspect):
    scan = make_scan()
    twice = scan.readouts(scan.image()) + scan.readouts(scan.image(), ky=[3])
    assert any("measured 2 times, and 1 averages" in one for one in inspect(twice).facts.oddities)
    averages = scan.readouts(scan.image()) + scan.readouts(scan.image(), average=1)
    assert not any("measured" in one for one in inspect(averages, scan).facts.oddities)


def test_coils_and_samples_that_differ_are_named(make_scan, inspect):
    scan = make_scan()
    odd = [scan.readout(np.ones((2, 16))), scan.readout(np.ones((3, 14)), kspace_encode_step_1=1)]
    oddities = inspect(odd).facts.oddities
    assert any("readouts of 2 and 3 coils" in one for one in oddities)
    assert any("readouts of 14 and 16 samples" in one for one in oddities)
    noise = scan.readout(np.ones((3, 16)), NOISE)
    oddities = inspect([noise, *odd], scan).facts.oddities
    assert "The noise scan has 3 coils: readouts of 2 coils cannot be whitened." in oddities


def test_the_pipelines_own_words_say_why_it_stops(make_scan, inspect):
    scan = make_scan(limits={"kspace_encoding_step_1": (0, 7, 4)})
    readouts = scan.readouts(scan.image())
    readouts[5].idx.kspace_encode_step_1 = 200
    facts = inspect(readouts, scan).facts
    assert "outside the encoded matrix of 8 x 1" in facts.pipeline.problem
    assert facts.readouts == 8
    noise = inspect([scan.readout(np.ones((3, 16)), NOISE)], scan)
    assert "No image readout came" in noise.facts.pipeline.problem
    assert (noise.facts.encodings[0].sampling, noise.masks) == (None, {})


def test_an_image_of_nothing_but_nan_is_a_problem(make_scan, inspect):
    scan = make_scan()
    readouts = scan.readouts(scan.image(), slice=0) + scan.readouts(scan.image(), slice=1)
    for one in readouts[8:]:
        one.data[:] = np.inf
    facts = inspect(readouts, scan).facts
    assert facts.pipeline.images == 1
    assert "No usable readout came for the image with encoding 0, slice 1" in facts.pipeline.problem


def test_scans_that_are_not_cartesian_are_described_all_the_same(make_scan, inspect):
    scan = make_scan(trajectory="spiral")
    facts = inspect(scan.readouts(scan.image()), scan).facts
    assert facts.encodings[0].trajectory == "spiral"
    assert facts.encodings[0].image_readouts == 8
    assert facts.pipeline.images == 0
    assert "only 'cartesian' can be reconstructed" in facts.pipeline.problem
    assert any("'spiral', not Cartesian" in one for one in facts.oddities)


def test_an_encoding_that_nobody_uses_is_named(make_scan, inspect):
    scan = make_scan()
    start, end = scan.xml.index(b"<encoding>"), scan.xml.index(b"</ismrmrdHeader>")
    xml = scan.xml[:end] + scan.xml[start:end] + scan.xml[end:]
    facts = inspect(scan.readouts(scan.image()), xml=xml).facts
    assert len(facts.encodings) == 2
    assert "Encoding 1 is in the header, but no readout belongs to it." in facts.oddities


def test_warnings_of_the_gatherer_are_oddities_not_log_lines(make_scan, inspect, caplog):
    scan = make_scan(limits={"kspace_encoding_step_1": (0, 11, 6)})
    readouts = [scan.readout(np.ones((3, 16)), kspace_encode_step_1=line) for line in (0, 1, 6, 11)]
    facts = inspect(readouts, scan).facts
    assert "Lines above the spatial frequencies of the matrix are left out." in facts.oddities
    assert not caplog.records


def test_waveforms_are_counted(make_scan, inspect):
    data = np.zeros((2, 3), np.uint32)
    waveforms = [ismrmrd.Waveform.from_array(data, time_stamp=stamp) for stamp in (5, 6)]
    scan = make_scan()
    assert inspect(scan.readouts(scan.image()), waveforms=waveforms).facts.waveforms == 2


def test_a_header_that_is_none_is_an_error(raw_file, make_scan):
    readouts = make_scan().readouts(make_scan().image())
    with pytest.raises(DataError, match="not well-formed"):
        inspect_file(raw_file(b"<ismrmrdHeader", readouts))


def test_facts_come_back_from_json(tmp_path):
    write_simulation(tmp_path / "raw.h5", SimulatedScan(matrix=32, coils=2, slices=1))
    facts = inspect_file(tmp_path / "raw.h5").facts
    assert type(facts).model_validate_json(facts.model_dump_json()) == facts


def test_the_picture_shows_ky_to_the_right():
    mask = np.zeros((1, 8, 6), bool)
    mask[0, [0, 4, 5]] = True
    assert draw(mask, 8, 2) == ["█   ██  "] * 2
    assert draw(mask, 4, 1) == ["▒ █ "]
    mask[0, 0, 0] = mask[0, 4, 0] = False
    assert draw(mask, 4, 1) == ["░ ▓ "]
    # Of a volume, kz is down.
    volume = np.zeros((2, 4, 6), bool)
    volume[1, 2, 3] = True
    assert draw(volume, 80, 80) == ["    ", "  █ "]


def test_a_single_point_among_many_shows():
    mask = np.zeros((1, 1000, 4), bool)
    mask[0, 17, 2] = True
    assert draw(mask, 10, 1)[0][0] != " "


def test_the_picture_as_a_file(tmp_path):
    pyplot = pytest.importorskip("matplotlib.image")
    mask = np.zeros((1, 8, 6), bool)
    mask[0, 2] = True
    save_picture(mask, tmp_path / "mask.png")
    picture = pyplot.imread(tmp_path / "mask.png")[..., 0]
    assert picture.shape == (6, 8)
    np.testing.assert_array_equal(picture.mean(axis=0), np.arange(8) == 2)
