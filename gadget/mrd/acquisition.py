"""Acquisitions taken apart and put together cheaply."""

from __future__ import annotations

import ismrmrd
import numpy as np
from numpy.typing import NDArray


def header_of(acquisition: ismrmrd.Acquisition) -> ismrmrd.AcquisitionHeader:
    """Return the header itself, to be read only.

    `getHead` copies it attribute by attribute, which takes as long as all the rest that is done
    with a readout.
    """
    return acquisition._head


def with_samples(
    acquisition: ismrmrd.Acquisition, samples: NDArray[np.complex64]
) -> ismrmrd.Acquisition:
    """Return a copy of an acquisition that holds other samples `[coil, kx]`."""
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(header_of(acquisition))
    header.active_channels, header.number_of_samples = samples.shape
    data = np.ascontiguousarray(samples, np.complex64)
    return ismrmrd.Acquisition(header, data, acquisition.traj)
