"""Bit masks of ISMRMRD acquisition flags."""

from __future__ import annotations

from typing import overload

import ismrmrd
import numpy as np
from numpy.typing import NDArray


def bits(*flags: int) -> int:
    """Return a bit field with these flags set."""
    return sum(1 << (flag - 1) for flag in flags)


NOISE = bits(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)

REVERSE = bits(ismrmrd.ACQ_IS_REVERSE)

CALIBRATION = bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)

CALIBRATION_AND_IMAGING = bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)

ANY_CALIBRATION = CALIBRATION | CALIBRATION_AND_IMAGING

NAVIGATION = bits(
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
)

PHASE_CORRECTION = bits(
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
)

DUMMY = bits(ismrmrd.ACQ_IS_DUMMYSCAN_DATA)

NOT_IMAGE = NOISE | NAVIGATION | PHASE_CORRECTION | DUMMY

COIL_CORRECTION = bits(ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
"""A scan of its own for surface coil correction, or, by Siemens' converter, image lines that raw
data correction is meant for; then all are flagged, and Gadgetron takes no notice."""

LAST_IN_MEASUREMENT = bits(ismrmrd.ACQ_LAST_IN_MEASUREMENT)

LAST_IN_PARTITIONS = LAST_IN_MEASUREMENT | bits(
    ismrmrd.ACQ_LAST_IN_ENCODE_STEP2, ismrmrd.ACQ_LAST_IN_REPETITION
)

LAST_IN_BUFFER = LAST_IN_MEASUREMENT | bits(
    ismrmrd.ACQ_LAST_IN_SLICE, ismrmrd.ACQ_LAST_IN_REPETITION
)


@overload
def calibration_only(flags: int) -> bool: ...
@overload
def calibration_only(flags: NDArray[np.uint64]) -> NDArray[np.bool_]: ...
def calibration_only(flags: int | NDArray[np.uint64]) -> bool | NDArray[np.bool_]:
    """Whether a readout, or each of several, is calibration data and not image data."""
    return flags & ANY_CALIBRATION == CALIBRATION


def image_data(headers: NDArray[np.void]) -> NDArray[np.bool_]:
    """Whether each of several readouts was measured, for an image or its calibration."""
    bits = headers["flags"]
    measured = (headers["number_of_samples"] > 0) & (bits & NOT_IMAGE == 0)
    others = measured & (bits & COIL_CORRECTION == 0)
    return np.asarray(others if (others & ~calibration_only(bits)).any() else measured)
