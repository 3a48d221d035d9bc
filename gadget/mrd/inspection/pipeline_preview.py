"""Preview of the images that a pipeline makes, by its own gatherer."""

from __future__ import annotations

from collections.abc import Iterable

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.buffers.buffer import Buffer
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.images.results import image_space
from gadget.mrd.inspection.facts import SeriesFacts
from gadget.mrd.inspection.sampling import Sampling
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.xml_header.header import Header, Space


class PipelinePreview:
    """Runs the pipeline's own gatherer on the headers of readouts, without their samples.

    Parameters
    ----------
    header
        The header, its encodings taken for Cartesian.
    problem
        Why a pipeline refuses it, if it does.
    """

    def __init__(self, header: Header, problem: str | None) -> None:
        self.problem = problem
        self.sampling: dict[int, Sampling] = {}
        self.series: list[SeriesFacts] = []
        self.kspace_bytes = 0
        self.warnings: list[str] = []
        """Warnings of the gatherer, except of unusable lines: the survey counts them."""
        self._gatherer = Gatherer(header, self._note, warn_unusable=False)
        self._coils: dict[int, int] = {}
        self._spaces: dict[int, Space] = {}

    def add(
        self, heads: NDArray[np.void], finite: NDArray[np.bool_], empty: NDArray[np.bool_]
    ) -> None:
        """Add readouts by their headers, and whether their samples are finite and all zero."""
        if self.problem is not None:
            return
        for head, usable, zero in zip(heads, finite.tolist(), empty.tolist(), strict=True):
            header = ismrmrd.AcquisitionHeader.from_buffer_copy(head.tobytes())
            if not header.flags & flags.NOT_IMAGE:
                self._coils.setdefault(header.encoding_space_ref, header.active_channels)
            # With one coil all is the same but for the memory.
            header.active_channels = min(1, header.active_channels)
            header.trajectory_dimensions = 0
            value = np.complex64((0 if zero else 1) if usable else np.nan)
            shape = header.active_channels, header.number_of_samples
            data = np.broadcast_to(value, shape)
            self._take(self._gatherer.add(ismrmrd.Acquisition(header, data)))

    def finish(self) -> None:
        """Complete the remaining images at the end of the file."""
        try:
            self._take(self._gatherer.finish())
        except DataError as error:
            self.problem = self.problem or str(error)
        for encoding, sampling in sorted(self.sampling.items()):
            space = self._spaces[encoding]
            self.series.append(
                SeriesFacts(
                    series=encoding,
                    images=sampling.images,
                    matrix=space.matrix,
                    field_of_view_mm=space.field_of_view_mm,
                )
            )

    def _note(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _take(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            key = ImageKey.of(buffer.reference)
            encoding = key.encoding
            if encoding not in self.sampling:
                self.sampling[encoding] = Sampling(buffer)
                partitions = buffer.kspace.weight.shape[0]
                self._spaces[encoding] = image_space(buffer.encoding.recon, partitions)
            self.sampling[encoding].add(buffer, key)
            count = buffer.kspace.weight.size * self._coils[encoding]
            self.kspace_bytes = max(self.kspace_bytes, count * np.dtype(np.complex64).itemsize)
