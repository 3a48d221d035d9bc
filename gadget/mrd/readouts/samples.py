"""Whether the samples of a readout are of use."""

from __future__ import annotations

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError


def check_samples(header: ismrmrd.AcquisitionHeader) -> None:
    """Raise `DataError` if a readout has no coil, or discards all its samples."""
    if not header.active_channels:
        raise DataError(f"Readout {header.scan_counter} holds no sample: it has no coil.")
    if header.discard_pre + header.discard_post >= header.number_of_samples:
        raise DataError(
            f"Readout {header.scan_counter} holds no sample: {header.number_of_samples} were "
            f"taken, of which {header.discard_pre} at the beginning and {header.discard_post} at "
            "the end are to be discarded."
        )


def is_empty(samples: NDArray[np.complex64]) -> bool:
    """Whether a readout holds nothing but zeros; receivers send noise at least."""
    # The first sample tells at once of nearly all that do not.
    return samples.size > 0 and not samples[0, 0] and not samples.any()


def is_finite(samples: NDArray[np.complex64]) -> bool:
    """Whether all samples are numbers, and none of them infinite."""
    # Their energy is the fastest look at all of them; that of large samples may overflow.
    flat = samples.reshape(-1)
    return bool(np.isfinite(np.vdot(flat, flat))) or bool(np.isfinite(samples).all())
