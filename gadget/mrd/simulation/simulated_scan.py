"""Parameters of a simulated scan; its XML header, readout headers and flags."""

from __future__ import annotations

from dataclasses import dataclass

import ismrmrd
import numpy as np
from ismrmrd import xsd
from numpy.typing import NDArray

from gadget.mrd.readouts.flags import bits
from gadget.mrd.xml_header.header import Space
from gadget.mri.sampling.centre import central

OVERSAMPLING = 2
"""Of the readout, and of the grid that the object is drawn on."""
FIELD_OF_VIEW_MM, THICKNESS_MM, SPACING_MM = 220.0, 5.0, 12.0
LOWEST_MM, HIGHEST_MM = -40.0, 48.0
"""Range of the slices: the head ends beyond it."""
CENTRE_MM = (3.5, -12.0, 21.5)
TILT, TURN = 0.14, 0.05
"""Of the slices, about the left-right axis and within the slice [rad]."""

DWELL_US, NOISE_DWELL_US, NOISE_BANDWIDTH = 4.0, 2.5, 0.79
TICKS_PER_LINE, FIRST_TICK = 220, 17_280_000
"""Of the time stamps, 2.5 ms each: a line of a slice every 550 ms, from noon on."""


@dataclass(frozen=True)
class SimulatedScan:
    """Parameters of a simulated scan."""

    matrix: int = 256
    coils: int = 8
    slices: int = 2
    acceleration: float = 4.0
    centre_fraction: float = 0.08
    """Fraction of the lines that form the fully sampled centre."""
    noise: float = 0.01
    """Standard deviation of the noise of a complete scan, in units of the brightest tissue."""
    seed: int = 0

    @property
    def slice_offsets(self) -> list[float]:
        """Offset of each slice along the slice direction [mm]."""
        spacing = min(SPACING_MM, (HIGHEST_MM - LOWEST_MM) / max(1, self.slices - 1))
        return [spacing * (number - (self.slices - 1) / 2) for number in range(self.slices)]

    @property
    def recon_space(self) -> Space:
        """Matrix and field of view of the images."""
        size = FIELD_OF_VIEW_MM
        return Space((self.matrix, self.matrix, 1), (size, size, THICKNESS_MM))


def readout_header(scan: SimulatedScan, counter: int, dwell_us: float) -> ismrmrd.AcquisitionHeader:
    """Return the header of a readout, without the counters of a line."""
    head = ismrmrd.AcquisitionHeader()
    head.version = 1
    head.measurement_uid = 1
    head.scan_counter = counter
    head.acquisition_time_stamp = FIRST_TICK + counter * TICKS_PER_LINE // scan.slices
    head.number_of_samples = OVERSAMPLING * scan.matrix
    head.center_sample = OVERSAMPLING * scan.matrix // 2
    head.available_channels = head.active_channels = scan.coils
    for coil in range(scan.coils):
        head.channel_mask[coil // 64] |= 1 << (coil % 64)
    head.sample_time_us = dwell_us
    head.read_dir, head.phase_dir, head.slice_dir = (tuple(axis) for axis in _directions())
    head.position = CENTRE_MM
    return head


def line_header(
    scan: SimulatedScan, number: int, ky: int, counter: int = 0
) -> ismrmrd.AcquisitionHeader:
    """Return the header of a line of a slice, without its flags."""
    head = readout_header(scan, counter, DWELL_US)
    offset = scan.slice_offsets[number]
    head.position = tuple(np.array(CENTRE_MM) + offset * _directions()[2])
    head.idx.kspace_encode_step_1 = ky
    head.idx.slice = number
    return head


def _directions() -> NDArray[np.float64]:
    """Return unit vectors of readout, phase and slice as rows, in the patient's system."""
    tilt = np.array([[1, 0, 0], [0, np.cos(TILT), np.sin(TILT)], [0, -np.sin(TILT), np.cos(TILT)]])
    turn = np.array([[np.cos(TURN), np.sin(TURN), 0], [-np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])
    return np.asarray(turn @ tilt)


def line_flags(ky: int, lines: NDArray[np.intp], number: int, scan: SimulatedScan) -> int:
    """Return the flags of a line, given all the lines that are measured."""
    flags = 0
    if ky == lines[0]:
        flags |= bits(ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1, ismrmrd.ACQ_FIRST_IN_SLICE)
    if ky == lines[-1]:
        flags |= bits(ismrmrd.ACQ_LAST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_SLICE)
        if number == scan.slices - 1:
            flags |= bits(ismrmrd.ACQ_LAST_IN_REPETITION, ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    centre = central(scan.matrix, round(scan.matrix * scan.centre_fraction))
    if centre.start <= ky < centre.stop:
        flags |= bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    return flags


def xml_header(scan: SimulatedScan) -> bytes:
    """Return the XML header of the scan."""
    size, length = scan.matrix, FIELD_OF_VIEW_MM
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=_limit(size - 1, size // 2),
        kspace_encoding_step_2=_limit(0),
        slice=_limit(scan.slices - 1),
        **{
            name: _limit(0)
            for name in ("average", "contrast", "phase", "repetition", "set", "segment")
        },
    )
    encoding = xsd.encodingType(
        encodedSpace=_space(OVERSAMPLING * size, size, OVERSAMPLING * length, length),
        reconSpace=_space(size, size, length, length),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType.CARTESIAN,
        parallelImaging=xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=max(1, round(scan.acceleration)), kspace_encoding_step_2=1
            ),
            calibrationMode=xsd.calibrationModeType.EMBEDDED,
        ),
    )
    header = xsd.ismrmrdHeader(
        measurementInformation=xsd.measurementInformationType(
            # Four parts: Gadgetron's noise adjustment looks its storage up by them.
            measurementID="simulated_phantom_1_1",
            patientPosition=xsd.patientPositionType.HFS,
            protocolName="score-gadget simulation",
            seriesDescription=f"head phantom, 1D random, R = {scan.acceleration:g}",
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="score-gadget",
            systemModel="simulated",
            systemFieldStrength_T=3.0,
            relativeReceiverNoiseBandwidth=NOISE_BANDWIDTH,
            receiverChannels=scan.coils,
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_250_000),
        encoding=[encoding],
        sequenceParameters=xsd.sequenceParametersType(TR=[550.0], TE=[9.0], flipAngle_deg=[70.0]),
    )
    return bytes(header.toXML(encoding="utf-8").encode())


def _space(nx: int, ny: int, x_mm: float, y_mm: float) -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=nx, y=ny, z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(x=x_mm, y=y_mm, z=THICKNESS_MM),
    )


def _limit(maximum: int, center: int = 0) -> xsd.limitType:
    return xsd.limitType(minimum=0, maximum=maximum, center=center)
