"""Runtime of a session within a resident server."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from functools import partial

from gadget.diffusion.reconstruction import Reconstruction
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ReconError, StreamError
from gadget.mrd.buffers.buffer import Buffer
from gadget.stream.progress import Value
from gadget.stream.resident.batcher import Batcher
from gadget.stream.resident.counts import Counts
from gadget.stream.resident.engine import Engine
from gadget.stream.resident.look_ahead import LookAhead
from gadget.stream.resident.worker import FairWorker
from gadget.stream.runtime import Runtime, report_sampling, result_or_error, successful
from gadget.stream.session import Session


class ResidentRuntime(Runtime):
    """A session gathers in a thread of its own, and a worker reconstructs for all sessions in turn.

    Parameters
    ----------
    engine
        Models and workers.
    depth
        Buffers of the session that may wait, be reconstructed or be sent at once.
    counts
        Where its reconstructions are counted.
    defaults
        Settings that hold where the connection's own do not name them.
    """

    def __init__(
        self, engine: Engine, depth: int, counts: Counts, defaults: Mapping[str, str]
    ) -> None:
        self.defaults = defaults
        self._engine = engine
        self._depth = depth
        self._counts = counts
        self._worker: FairWorker | None = None
        self._ended = False

    def reconstruct(
        self, session: Session, settings: SamplerSettings, buffers: Iterable[Buffer]
    ) -> Generator[tuple[Buffer, Reconstruction], None, None]:
        """Yield each buffer with its reconstruction, in order."""
        reconstructor, worker = self._engine.provide(settings)
        self._worker = worker
        batcher = Batcher(reconstructor)

        def reconstruct_one(number: int) -> Reconstruction | ReconError:
            if self._ended:
                raise StreamError("The session is over.")
            session.check()
            if number == 1:  # loading a model takes no time of an image's deadline
                reconstructor.prepare()
            report = partial(report_sampling, session, number)
            return result_or_error(partial(batcher.result, number, report))

        def submit(numbered: tuple[int, Buffer]) -> Future[Reconstruction | ReconError]:
            number, buffer = numbered
            batcher.add(number, buffer.kspace)
            return worker.submit(self, partial(reconstruct_one, number))

        ahead = LookAhead(enumerate(buffers, start=1), submit, self._depth)
        try:
            for buffer, result in successful(session, ((b, result) for (_, b), result in ahead)):
                self._counts.add(result.fallback)
                yield buffer, result
        except CancelledError:
            session.check()
            raise
        finally:
            self._ended = True
            ahead.close()
            worker.drop(self)

    def report_progress(self, text: str, fields: dict[str, Value]) -> None:
        """Report nothing: the log of a server has a line for each reconstruction."""
        if self._ended:
            raise StreamError("The session is over.")

    def disconnected(self) -> None:
        """Cancel the queued jobs of the session."""
        if self._worker is not None:
            self._worker.drop(self)
