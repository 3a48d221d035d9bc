"""Files of ismrmrd's own generator, reconstructed by ismrmrd's own tool and by us."""

from __future__ import annotations

import shutil
import subprocess

import h5py
import numpy as np
import pytest

from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts.prewhiten import Prewhitener
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.operators.fourier import ifftc

GENERATOR = "ismrmrd_generate_cartesian_shepp_logan"

pytestmark = pytest.mark.skipif(
    not shutil.which(GENERATOR), reason=f"{GENERATOR} (ismrmrd-tools) is not installed"
)


@pytest.fixture
def generate(tmp_path):
    def run(*options: str, name: str = "phantom.h5"):
        path = tmp_path / name
        command = [GENERATOR, "-o", str(path), "-c", "4", *options]
        subprocess.run(command, check=True, capture_output=True)
        return path

    return run


def _buffers(path, whiten: bool = False):
    with RawFile(path) as raw:
        header = parse_header(raw.header_xml)
        readouts = list(raw.acquisitions())
    if whiten:
        readouts = list(Prewhitener(header).whiten(readouts))
    gatherer = Gatherer(header)
    return [one for a in readouts for one in gatherer.add(a)] + list(gatherer.finish())


def _combined(buffer):
    return np.sqrt((np.abs(ifftc(buffer.kspace.data, (-3, -2, -1))) ** 2).sum(0))[0]


def test_the_phantom_lies_where_the_tool_puts_it(generate):
    path = generate("-m", "64", "-n", "0")
    (buffer,) = _buffers(path)
    subprocess.run(["ismrmrd_recon_cartesian_2d", str(path)], check=True, capture_output=True)
    with h5py.File(path) as file:
        theirs = file["dataset/cpp/data"][0, 0, 0]
    ours = _combined(buffer)
    scale = (ours * theirs).sum() / (ours**2).sum()
    np.testing.assert_allclose(ours * scale, theirs, atol=1e-3 * theirs.max())
    assert buffer.field_of_view == (300, 300, 6)


@pytest.mark.parametrize(("matrix", "oversampling"), [(63, 2), (65, 3), (64, 3), (45, 4)])
def test_the_phantom_is_centred_alike_along_both_axes(generate, matrix, oversampling):
    path = generate("-m", str(matrix), "-O", str(oversampling), "-n", "0")
    (buffer,) = _buffers(path)
    image = _combined(buffer)
    inside = image > 0.15 * image.max()
    y, x = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    # Its pixels have the same number along x and y, whatever the header says of their size.
    middle_y = (y[0] + y[-1]) / 2 - image.shape[0] // 2
    middle_x = (x[0] + x[-1]) / 2 - image.shape[1] // 2
    assert middle_x == pytest.approx(middle_y, abs=0.5)


def test_noise_scan_repetitions_acceleration_and_calibration(generate):
    path = generate("-m", "64", "-C", "-r", "2", "-a", "2", "-w", "16")
    buffers = _buffers(path, whiten=True)
    assert [buffer.reference.idx.repetition for buffer in buffers] == [0, 1, 2, 3]
    for number, buffer in enumerate(buffers):
        lines = np.flatnonzero(buffer.kspace.mask.any((0, 2)))
        expected = set(range(number % 2, 64, 2)) | set(range(24, 40))
        assert lines.tolist() == sorted(expected)
        assert buffer.kspace.weight.max() == 1
        corner = ifftc(buffer.kspace.data, (-3, -2, -1))[..., :8, :8]
        level = np.sqrt(np.mean(np.abs(corner) ** 2) * buffer.kspace.acceleration)
        assert level == pytest.approx(1, rel=0.15)


def test_stored_coordinates_do_no_harm(generate):
    (plain,) = _buffers(generate("-m", "32", "-n", "0"))
    (other,) = _buffers(generate("-m", "32", "-n", "0", "-k", name="k.h5"))
    np.testing.assert_array_equal(plain.kspace.data, other.kspace.data)
