from __future__ import annotations

import dataclasses

import ismrmrd
import numpy as np
import pytest

from gadget.evaluation.comparison import zero_filled
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.images.reader import read_images
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts.prewhiten import Prewhitener
from gadget.mrd.simulation.simulate import NOISE_READOUTS, write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mrd.xml_header.schema import sanitize_header

SCAN = SimulatedScan(matrix=48, coils=4, slices=3, acceleration=3, centre_fraction=0.1)


@pytest.fixture
def simulated(tmp_path):
    def write(**changes: object):
        path = tmp_path / "raw.h5"
        write_simulation(path, dataclasses.replace(SCAN, **changes))
        return path

    return write


def test_the_header_follows_the_schema(simulated):
    with RawFile(simulated()) as raw:
        assert sanitize_header(raw.header_xml) == raw.header_xml.rstrip()
        header = parse_header(raw.header_xml)
    encoding = header.encodings[0]
    assert encoding.encoded.matrix == (96, 48, 1)
    assert encoding.recon.matrix == (48, 48, 1)
    assert encoding.limits["kspace_encoding_step_1"].center == 24
    assert encoding.acceleration == (3, 1)
    assert encoding.merges_calibration
    assert header.relative_noise_bandwidth == 0.79


def test_readouts_come_in_the_order_of_a_scanner(simulated):
    with RawFile(simulated()) as raw:
        readouts = [acquisition.getHead() for acquisition in raw.acquisitions()]
    noise = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
    assert [bool(head.flags & noise) for head in readouts] == [True] * NOISE_READOUTS + [False] * 48
    assert [head.scan_counter for head in readouts] == list(range(len(readouts)))
    lines = readouts[NOISE_READOUTS:]
    assert [head.idx.slice for head in lines[:4]] == [0, 1, 2, 0]
    last = 1 << (ismrmrd.ACQ_LAST_IN_SLICE - 1)
    assert [head.idx.slice for head in lines if head.flags & last] == [0, 1, 2]
    assert lines[-1].flags & (1 << (ismrmrd.ACQ_LAST_IN_MEASUREMENT - 1))
    stamps = [head.acquisition_time_stamp for head in readouts]
    assert stamps == sorted(stamps)


def test_slices_are_oblique_and_lie_along_their_normal(simulated):
    with RawFile(simulated()) as raw:
        heads = [a.getHead() for a in raw.acquisitions()][NOISE_READOUTS:]
    head = heads[0]
    axes = np.array([head.read_dir, head.phase_dir, head.slice_dir])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.cross(axes[0], axes[1]), axes[2], atol=1e-6)
    assert 0 < np.abs(axes - np.eye(3)).max() < 0.3
    step = np.subtract(heads[1].position, heads[0].position)
    np.testing.assert_allclose(step, 12 * axes[2], atol=1e-4)


def test_whitened_noise_has_variance_one(simulated):
    """Noise scan and data differ in bandwidth, as on a scanner: the dwell times must tell."""
    with RawFile(simulated(noise=3.0, slices=1)) as raw:
        white = list(Prewhitener(parse_header(raw.header_xml)).whiten(raw.acquisitions()))
    # Beyond the head there is noise alone, and at that level it drowns the head anyhow.
    edges = np.concatenate([a.data[:, :16] for a in white], axis=1)
    covariance = edges @ edges.conj().T / edges.shape[1]
    np.testing.assert_allclose(covariance, np.eye(4), atol=0.25)


def test_a_complete_scan_shows_the_truth(simulated):
    path = simulated(acceleration=1, noise=0.002)
    images = zero_filled(path)
    truth = read_images(path, "truth")
    assert len(truth) == 3
    for image in truth:
        (found,) = (value for place, value in images.items() if place.slice == image.slice)
        expected = image.data[0, 0]
        inside = expected > 0.2 * expected.max()
        error = (found - expected)[inside]
        # Both are in units of the noise; a real part of complex noise has half its variance.
        assert abs(error.mean()) < 0.01 * expected.max()
        assert error.std() < 1.0 + 0.01 * expected.max()


def test_undersampling_measures_the_lines_it_promises(simulated):
    with RawFile(simulated()) as raw:
        gatherer = Gatherer(parse_header(raw.header_xml))
        buffers = [one for a in raw.acquisitions() for one in gatherer.add(a)]
    assert [buffer.reference.idx.slice for buffer in buffers] == [0, 1, 2]
    for buffer in buffers:
        measured = buffer.kspace.mask[0].all(axis=-1)
        assert measured.sum() == 16
        assert measured[22:27].all()


def test_the_header_names_no_schema_version(simulated):
    """Gadgetron refuses a header whose schema version is not its own."""
    with RawFile(simulated()) as raw:
        assert b"<version>" not in raw.header_xml
