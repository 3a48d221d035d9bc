from __future__ import annotations

import re

import h5py
import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.evaluation.raw_cases import raw_cases
from gadget.mrd.images.reader import read_images
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan, xml_header
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.patterns import parse_pattern


@pytest.fixture
def scan(tmp_path):
    def write(**settings):
        path = tmp_path / "raw.h5"
        write_simulation(path, SimulatedScan(matrix=40, coils=3, noise=0.02, **settings))
        return path

    return write


def test_complete_scans_show_their_truth(scan):
    path = scan(slices=4, acceleration=1)
    cases = list(raw_cases(path, 2))
    truths = {one.getHead().slice: one.data[0, 0] for one in read_images(path, "truth")}
    assert [case.number for case in cases] == [1, 2]
    for case in cases:
        # Whitened by an estimated covariance, and with noise of about 1.
        truth = truths[case.number]
        assert np.linalg.norm(case.truth - truth) < 0.1 * np.linalg.norm(truth)
        assert case.measured.all()
        air = ifftc(case.kspace)[:, :4, :4].ravel()
        assert np.mean(np.abs(air) ** 2) == pytest.approx(1, abs=0.5)
        kspace = case.undersampled(parse_pattern("uniform1d:2"), 0)
        np.testing.assert_array_equal(kspace.data[:, 0], case.kspace * kspace.mask[0])


def test_undersampled_scans_have_no_truth(scan):
    with pytest.raises(DataError, match="is undersampled: slice 0 misses lines between"):
        list(raw_cases(scan(slices=1, acceleration=2), 1))


@pytest.fixture
def changed(scan, tmp_path):
    """Writes a complete scan of a few slices, with another header or other readouts."""

    def write(header=lambda text: text, readout=lambda one: one, slices=3):
        source = ismrmrd.Dataset(str(scan(slices=slices, acceleration=1)), "dataset", False)
        path = tmp_path / "changed.h5"
        target = ismrmrd.Dataset(str(path), "dataset", True)
        target.write_xml_header(header(source.read_xml_header().decode()).encode())
        for number in range(source.number_of_acquisitions()):
            one = readout(source.read_acquisition(number))
            if one is not None:
                target.append_acquisition(one)
        source.close()
        target.close()
        return path

    return write


def test_slices_that_only_the_header_knows_are_not_chosen(changed):
    def more(text):
        start = text.index("<slice>")
        assert "<maximum>2<" in text[start:]
        return text[:start] + text[start:].replace("<maximum>2<", "<maximum>39<", 1)

    def without_the_middle(one):
        return None if one.idx.slice == 1 else one

    path = changed(more)
    assert [case.number for case in raw_cases(path, 1)] == [1]
    assert [case.number for case in raw_cases(path, 9)] == [0, 1, 2]
    path.unlink()
    assert [case.number for case in raw_cases(changed(more, without_the_middle), 9)] == [0, 2]


def test_a_slice_without_signal_is_left_out(changed, caplog):
    def dark(one):
        if one.idx.slice == 1 and not one.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            one.data[:] = 0
        return one

    path = changed(readout=dark)
    assert [case.number for case in raw_cases(path, 3)] == [0, 2]
    assert f"Left out of '{path}': Slice 1 of 'changed.h5' is empty" in caplog.text
    with pytest.raises(DataError, match=r"Slice 1 of 'changed\.h5' is empty or holds values"):
        list(raw_cases(path, 1))


def _volume(text, partitions, last):
    """Turn the header of a 2D scan to that of a volume, counters of partitions from 0 to `last`."""
    limit = f"<minimum>0</minimum><maximum>{last}</maximum><center>1</center>"
    start, end = (f"<{slash}kspace_encoding_step_2>" for slash in ("", "/"))
    text = re.sub(f"{start}.*?{end}", f"{start}{limit}{end}", text, count=1, flags=re.DOTALL)
    return text.replace("<z>1</z>", f"<z>{partitions}</z>")


def test_slabs_have_slices_of_their_own(changed):
    """Two slabs of two partitions."""

    def partition(one):
        one.idx.kspace_encode_step_2, one.idx.slice = one.idx.slice % 2, one.idx.slice // 2
        return one

    path = changed(lambda text: _volume(text, 2, last=1), partition, slices=4)
    assert [case.number for case in raw_cases(path, 2)] == [0, 1, 2, 3]


def test_oversampling_is_cut_off_of_volumes_without_some_partitions(changed):
    """Partial Fourier along kz: planes (kz, ky), of which 3/4 of y are shown."""

    def header(text):
        start = text.index("<reconSpace>")
        recon = text[start:].replace("<y>40</y>", "<y>30</y>", 1)
        recon = recon.replace("<y>220.0</y>", "<y>165.0</y>", 1)
        return _volume(text[:start] + recon, 8, last=4)

    def partition(one):
        one.idx.kspace_encode_step_2, one.idx.slice = one.idx.slice, 0
        return one

    (case,) = raw_cases(changed(header, partition, slices=5), 1)
    assert case.measured.shape == (8, 40)
    assert case.truth.shape == (8, 30)


def test_borders_that_no_scan_measured_do_not_count_and_oversampling_is_cut_off(
    scan, tmp_path, monkeypatch
):
    """A field of view with phase oversampling, and fewer lines than the matrix has."""
    complete = scan(slices=1, acceleration=1)
    source, path = ismrmrd.Dataset(str(complete), "dataset", False), tmp_path / "cut.h5"
    target = ismrmrd.Dataset(str(path), "dataset", True)
    header = source.read_xml_header().decode()
    # The recon space is 3/4 as long as the encoded one along the phase-encoding direction.
    start = header.index("<reconSpace>")
    recon = (
        header[start:]
        .replace("<y>40</y>", "<y>30</y>", 1)
        .replace("<y>220.0</y>", "<y>165.0</y>", 1)
    )
    target.write_xml_header((header[:start] + recon).encode())
    for number in range(source.number_of_acquisitions()):
        readout = source.read_acquisition(number)
        if readout.idx.kspace_encode_step_1 >= 3 or readout.flags & 1 << 18:
            target.append_acquisition(readout)
    source.close()
    target.close()
    (case,) = raw_cases(path, 1)
    assert case.truth.shape == (30, 40)
    assert np.flatnonzero(~case.measured.any(axis=1)).tolist() == [0, 1, 2]
    (whole,) = raw_cases(complete, 1)
    np.testing.assert_allclose(case.truth, whole.truth[5:35], atol=0.15 * whole.truth.max())


def test_files_of_fastmri(tmp_path):
    """K-space `[slice, coil, readout, line]`, readouts twice as long as the image."""
    scan = SimulatedScan(matrix=32, coils=3, slices=3)
    rng = np.random.default_rng(0)
    kspace = rng.normal(size=(3, 3, 64, 32)) + 1j * rng.normal(size=(3, 3, 64, 32))
    kspace[:, :, 32, 16] += 100
    with h5py.File(tmp_path / "knee.h5", "w") as file:
        file["kspace"] = kspace.astype(np.complex64)
        file["ismrmrd_header"] = xml_header(scan).decode()
    (case,) = raw_cases(tmp_path / "knee.h5", 1)
    assert (case.number, case.truth.shape) == (1, (32, 32))
    coil_images = ifftc(kspace[1])[:, 16:48].swapaxes(1, 2)
    expected = np.sqrt((np.abs(coil_images) ** 2).sum(0))
    assert np.corrcoef(case.truth.ravel(), expected.ravel())[0, 1] > 0.95
