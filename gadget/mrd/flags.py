"""What the flags of a readout say about its use."""

from __future__ import annotations

import ismrmrd


def _bits(*flags: int) -> int:
    return sum(1 << (flag - 1) for flag in flags)


NOISE = _bits(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)

REVERSE = _bits(ismrmrd.ACQ_IS_REVERSE)

CALIBRATION = _bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)

CALIBRATION_AND_IMAGING = _bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)

NOT_IMAGE = NOISE | _bits(
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)

LAST_IN_MEASUREMENT = _bits(ismrmrd.ACQ_LAST_IN_MEASUREMENT)

LAST_IN_PARTITIONS = LAST_IN_MEASUREMENT | _bits(
    ismrmrd.ACQ_LAST_IN_ENCODE_STEP2, ismrmrd.ACQ_LAST_IN_REPETITION
)

LAST_IN_BUFFER = LAST_IN_MEASUREMENT | _bits(
    ismrmrd.ACQ_LAST_IN_SLICE, ismrmrd.ACQ_LAST_IN_REPETITION
)


def calibration_only(flags: int) -> bool:
    """Whether a readout was measured for the coils alone."""
    return bool(flags & CALIBRATION) and not flags & CALIBRATION_AND_IMAGING
