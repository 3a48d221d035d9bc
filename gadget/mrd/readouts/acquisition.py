"""Headers and copies of acquisitions, made cheaply."""

from __future__ import annotations

import ismrmrd
import numpy as np
from numpy.typing import NDArray


def header_of(acquisition: ismrmrd.Acquisition) -> ismrmrd.AcquisitionHeader:
    """Return the header without copying it, to be read only.

    `getHead` copies it attribute by attribute, which takes as long as all other work on a readout.
    """
    return acquisition._head


def with_samples(
    acquisition: ismrmrd.Acquisition, samples: NDArray[np.complex64]
) -> ismrmrd.Acquisition:
    """Return a copy of an acquisition with new samples `[coil, kx]`."""
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(header_of(acquisition))
    header.active_channels, header.number_of_samples = samples.shape
    data = np.ascontiguousarray(samples, np.complex64)
    return ismrmrd.Acquisition(header, data, acquisition.traj)
