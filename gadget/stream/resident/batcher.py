"""Batched reconstruction of queued buffers of equal size."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gadget.errors import StreamError
from gadget.mri.kspace import KSpace

if TYPE_CHECKING:
    from gadget.diffusion.progress import ProgressCallback
    from gadget.diffusion.reconstruct import Reconstructor
    from gadget.diffusion.reconstruction import Reconstruction

log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    number: int
    kspace: KSpace


class Batcher:
    """Reconstructs the buffers of one session in batches of those that are queued.

    Buffers may be added in one thread while another asks for results.

    Parameters
    ----------
    reconstructor
        What reconstructs them.
    """

    def __init__(self, reconstructor: Reconstructor) -> None:
        self._reconstructor = reconstructor
        self._waiting: deque[_Waiting] = deque()
        self._results: dict[int, Reconstruction | KSpace] = {}

    def add(self, number: int, kspace: KSpace) -> None:
        """Queue a buffer."""
        self._waiting.append(_Waiting(number, kspace))

    def result(self, number: int, progress: ProgressCallback) -> Reconstruction:
        """Return the reconstruction of a buffer; asked for in the order of `add`.

        Raises
        ------
        ReconError
            As `Reconstructor.reconstruct`.
        """
        if number not in self._results:
            self._results.update(self._reconstruct_waiting(progress))
        result = self._results.pop(number)
        if isinstance(result, KSpace):
            return self._reconstructor.reconstruct(result, progress)
        return result

    def _reconstruct_waiting(
        self, progress: ProgressCallback
    ) -> Mapping[int, Reconstruction | KSpace]:
        """Reconstruct a batch; return the buffers unchanged if that fails."""
        numbers, kspaces = zip(*self._batch(), strict=True)
        results: Sequence[Reconstruction | KSpace] = kspaces
        if len(kspaces) > 1:
            try:
                results = self._reconstructor.reconstruct_batch(kspaces, progress)
            except StreamError:  # nobody waits for any of them
                raise
            except Exception as error:  # noqa: BLE001 - each for itself finds out whose it is
                log.warning("%d images at once failed: %s", len(kspaces), error)
        return dict(zip(numbers, results, strict=True))

    def _batch(self) -> list[_Waiting]:
        """Take the first queued buffer, and those behind it that fit the batch."""
        first = self._waiting.popleft()
        batch = [first]
        most = self._reconstructor.batch_size(first.kspace)
        while len(batch) < most and self._waiting:
            if self._waiting[0].kspace.weight.shape != first.kspace.weight.shape:
                break
            batch.append(self._waiting.popleft())
        return batch
