"""What a session runs in: where it computes, and whom it tells.

Only the standard library is imported here, as in `gadget.stream.node`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from gadget.errors import OF_THE_WHOLE_SCAN, FirstError, ReconError
from gadget.stream.progress import ProgressWriter, Value

if TYPE_CHECKING:
    from gadget.diffusion.reconstruction import Reconstruction
    from gadget.diffusion.settings import SamplerSettings
    from gadget.mrd.buffers.buffer import Buffer
    from gadget.stream.session import Session

GRACE_SECONDS = 3.0
"""How long a computation may go on after the other end is gone."""


class Runtime:
    """A session computes in its own thread and tells its progress on standard error.

    Parameters
    ----------
    node
        Name of the node.
    """

    defaults: Mapping[str, str] = MappingProxyType({})
    """Settings that hold where the connection's own do not name them."""

    def __init__(self, node: str) -> None:
        self._progress = ProgressWriter(node)

    def reconstruct(
        self, session: Session, settings: SamplerSettings, buffers: Iterable[Buffer]
    ) -> Generator[tuple[Buffer, Reconstruction], None, None]:
        """Yield each buffer and what it was reconstructed to, in their order."""
        from gadget.diffusion.reconstruct import Reconstructor

        reconstructor = Reconstructor(settings)
        reconstructor.prepare()  # while the first buffer is still being gathered

        def attempts() -> Generator[tuple[Buffer, Reconstruction | ReconError], None, None]:
            for number, buffer in enumerate(buffers, start=1):
                report = partial(report_sampling, session, number)
                attempt = partial(reconstructor.reconstruct, buffer.kspace, report)
                yield buffer, result_or_error(attempt)

        yield from successful(session, attempts())

    def report_progress(self, text: str, fields: dict[str, Value]) -> None:
        """Tell how far the session has come."""
        self._progress.write(text, fields)

    def disconnected(self) -> None:
        """The other end is gone; called from another thread."""


class ProcessRuntime(Runtime):
    """The session has a process of its own, which Gadgetron or the embedded host has started."""

    def disconnected(self) -> None:
        """End the process even in the middle of a computation: nobody waits for its result."""
        time.sleep(GRACE_SECONDS)
        logging.getLogger(__name__).error("The other end is gone: the process ends.")
        end_process(1)


def result_or_error(attempt: Callable[[], Reconstruction]) -> Reconstruction | ReconError:
    """Return a reconstruction, or the error of a buffer that no method can reconstruct."""
    try:
        return attempt()
    except OF_THE_WHOLE_SCAN:
        raise
    except ReconError as error:
        return error


def successful(
    session: Session, attempts: Iterable[tuple[Buffer, Reconstruction | ReconError]]
) -> Generator[tuple[Buffer, Reconstruction], None, None]:
    """Yield the buffers that were reconstructed: they must not be lost with those that were not.

    The log has a line for each, with its number.

    Raises
    ------
    ReconError
        At the end: the first error of a buffer.
    """
    errors = FirstError(ReconError)
    for number, (buffer, result) in enumerate(attempts, start=1):
        if isinstance(result, ReconError):
            session.log.error("image %d: %s", number, result)
            errors.keep(result)
        else:
            level = logging.INFO if result.fallback is None else logging.WARNING
            session.log.log(level, "image %d: %s", number, result.summary)
            yield buffer, result
    errors.check()


def end_process(status: int) -> NoReturn:
    """End the process without taking the interpreter apart, half a second's work with torch."""
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # also where one of them is closed, or its disk full
        os._exit(status)


def report_sampling(session: Session, image: int, done: int, total: int) -> None:
    """Tell how far the sampling of an image is; raise if nobody waits for it any more."""
    session.progress("sampling", image=image, done=done, total=total)
