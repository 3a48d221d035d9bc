from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.readouts import flags
from gadget.mri.operators.fourier import fftc, ifftc

SIZES = [(16, 8), (18, 9), (15, 9)]


def _as_gadgetron(readout: ismrmrd.Acquisition, size: int) -> ismrmrd.Acquisition:
    """Crop a readout as `RemoveROOversamplingGadget` does."""
    start = (readout.number_of_samples - size) // 2
    samples = fftc(ifftc(readout.data, (-1,))[:, start : start + size], (-1,))
    head = readout.getHead()
    head.number_of_samples = size
    head.center_sample = int(readout.center_sample * size / readout.number_of_samples)
    return ismrmrd.Acquisition(head, samples.astype(np.complex64))


def _magnitude(scan, readouts) -> np.ndarray:
    (buffer,) = Gatherer(scan.header).gather(readouts)
    return np.abs(ifftc(buffer.kspace.data, (-3, -2, -1)))


@pytest.mark.parametrize(("full", "size"), SIZES)
@pytest.mark.parametrize("backwards", ["none", "every other", "all"])
def test_gadgetron_shifts_no_image(make_scan, full, size, backwards):
    fov = {"encoded_fov": (2.0 * full, 16.0, 5.0), "recon_fov": (2.0 * size, 16.0, 5.0)}
    scan = make_scan(encoded=(full, 8, 1), recon=(size, 8, 1), **fov)
    # An object that ends before the edges, of which a reversed readout has others.
    image = scan.image()
    image[..., : full // 2 - 2] = image[..., full // 2 + 3 :] = 0
    readouts = scan.readouts(image)
    expected = _magnitude(scan, readouts)
    cropped = []
    for number, readout in enumerate(readouts):
        if backwards == "all" or (backwards == "every other" and number % 2):
            head = readout.getHead()
            head.flags |= flags.REVERSE
            turned = np.ascontiguousarray(readout.data[:, ::-1])
            readout = ismrmrd.Acquisition(head, turned)
        cropped.append(_as_gadgetron(readout, size))
    np.testing.assert_allclose(_magnitude(scan, cropped), expected, atol=1e-4)
