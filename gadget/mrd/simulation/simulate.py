"""Simulated raw data, in the form that a scanner's converter writes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError
from gadget.files import safe_write
from gadget.mrd.images.make_image import make_image
from gadget.mrd.images.meta import PREFIX
from gadget.mrd.readouts import flags
from gadget.mrd.simulation.simulated_scan import (
    DWELL_US,
    FIELD_OF_VIEW_MM,
    HIGHEST_MM,
    LOWEST_MM,
    NOISE_BANDWIDTH,
    NOISE_DWELL_US,
    OVERSAMPLING,
    SimulatedScan,
    line_flags,
    line_header,
    readout_header,
    xml_header,
)
from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.phantoms.head import head_slice
from gadget.mri.phantoms.scanner import coil_maps, correlated_noise, noise_covariance, smooth_phase
from gadget.mri.resample import centred_resize
from gadget.mri.sampling.masks import random_lines

TRUTH_GROUP = "truth"
"""HDF5 group of the ground truth images, beside the raw data."""
NOISE_READOUTS = 8


class Simulation:
    """Simulated raw data, and the ground truth behind them.

    Parameters
    ----------
    scan
        What is simulated.

    Raises
    ------
    ConfigError
        The scan is impossible.
    """

    def __init__(self, scan: SimulatedScan) -> None:
        self._scan = scan
        self._rng = np.random.default_rng(scan.seed)
        covariance = noise_covariance(scan.coils, self._rng)
        mask = random_lines(scan.matrix, scan.acceleration, scan.centre_fraction, self._rng)
        self._lines = np.flatnonzero(mask)
        self._kspace = [_measure(scan, number, self._rng) for number in range(scan.slices)]
        self._covariance = covariance * scan.noise**2

    def readouts(self) -> Iterator[ismrmrd.Acquisition]:
        """Yield the noise scan, then line after line, the slices interleaved."""
        scan = self._scan
        samples = OVERSAMPLING * scan.matrix
        # A wider bandwidth, a shorter dwell time, lets more noise in.
        noise_gain = DWELL_US / NOISE_DWELL_US * NOISE_BANDWIDTH
        counter = 0
        for _ in range(NOISE_READOUTS):
            head = readout_header(scan, counter, NOISE_DWELL_US)
            head.flags = flags.NOISE
            yield ismrmrd.Acquisition(head, self._noise(samples, noise_gain))
            counter += 1
        for ky in self._lines:
            for number in range(scan.slices):
                head = line_header(scan, number, int(ky), counter)
                head.flags = line_flags(int(ky), self._lines, number, scan)
                yield ismrmrd.Acquisition(head, self._kspace[number][:, ky] + self._noise(samples))
                counter += 1

    def truth(self) -> Iterator[ismrmrd.Image]:
        """Yield the magnitude of what a complete scan without noise gives after whitening.

        It is the root sum of squares over coils, so its unit is the standard deviation of the
        noise.
        """
        scan = self._scan
        whitening = np.linalg.inv(np.linalg.cholesky(self._covariance))
        for number, complete in enumerate(self._kspace):
            coil_images = centred_resize(ifftc(complete), -1, scan.matrix)
            white = np.tensordot(whitening, coil_images, 1)
            magnitude = np.sqrt((np.abs(white) ** 2).sum(0)).astype(np.float32)
            yield make_image(
                magnitude[None],
                line_header(scan, number, scan.matrix // 2),
                scan.recon_space,
                image_index=number + 1,
                series_index=0,
                image_type=ismrmrd.IMTYPE_MAGNITUDE,
                meta={"DataRole": "Image", "ImageComment": "complete scan without noise"}
                | {f"{PREFIX}seed": scan.seed, f"{PREFIX}noise": scan.noise},
            )

    def _noise(self, samples: int, gain: float = 1.0) -> NDArray[np.complex64]:
        return correlated_noise(self._covariance * gain, samples, self._rng)


def write_simulation(path: Path, scan: SimulatedScan) -> None:
    """Write simulated raw data and the ground truth, in the group `truth` of the same file.

    Raises
    ------
    ConfigError
        The file cannot be written, or the scan is impossible.
    """
    simulation = Simulation(scan)
    # In memory: HDF5 crashes the process after a write that failed.
    content = io.BytesIO()
    raw = ismrmrd.Dataset(content, "dataset", True)
    raw.write_xml_header(xml_header(scan))
    for readout in simulation.readouts():
        raw.append_acquisition(readout)
    raw.close()
    truth = ismrmrd.Dataset(content, TRUTH_GROUP, True)
    for image in simulation.truth():
        truth.append_image(f"image_{image.image_series_index}", image)
    truth.close()
    with safe_write(path, ConfigError) as part:
        part.write_bytes(content.getbuffer())


def _measure(scan: SimulatedScan, number: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Return the complete, noiseless k-space `[coil, ky, kx]` of a slice.

    The object is drawn at a finer resolution than that of the scan.
    """
    fine = OVERSAMPLING * scan.matrix
    z_mm = scan.slice_offsets[number] + (HIGHEST_MM + LOWEST_MM) / 2
    head = head_slice((fine, fine), FIELD_OF_VIEW_MM, z_mm, scan.seed)
    signal = head * smooth_phase((fine, fine), rng)
    kspace = np.empty((scan.coils, scan.matrix, OVERSAMPLING * scan.matrix), np.complex64)
    for coil, sensitivity in enumerate(coil_maps(scan.coils, (fine, fine))):
        wide = centred_resize(signal * sensitivity, -1, OVERSAMPLING * fine)
        resolved = centred_resize(fftc(wide), -2, scan.matrix)
        # Orthonormal transforms of two sizes: pixels keep their brightness.
        kspace[coil] = centred_resize(resolved, -1, OVERSAMPLING * scan.matrix) / OVERSAMPLING
    return kspace
