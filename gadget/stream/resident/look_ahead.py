"""Prefetching: items are made in one thread, processed in a second and used in a third."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class LookAhead(Generic[Item, Result]):
    """Yields items and the results of their jobs, while a thread of its own makes the next items.

    Parameters
    ----------
    items
        Iterated in the thread; what it raises is raised after the results before it.
    submit
        Queues the job of an item.
    depth
        Items that may exist at once.
    """

    def __init__(
        self,
        items: Iterable[Item],
        submit: Callable[[Item], Future[Result]],
        depth: int,
    ) -> None:
        self._items = items
        self._submit = submit
        self._slots = threading.Semaphore(depth - 1)
        self._made: SimpleQueue[tuple[Item, Future[Result]] | BaseException | None] = SimpleQueue()
        self._closed = threading.Event()
        name = threading.current_thread().name
        threading.Thread(target=self._make, name=name, daemon=True).start()

    def __iter__(self) -> Iterator[tuple[Item, Result]]:
        while (made := self._made.get()) is not None:
            if isinstance(made, BaseException):
                raise made
            item, future = made
            del made
            try:
                result = future.result()
            finally:
                del future  # an error holds this frame, and the future the error
            yield item, result
            del item, result  # before the next item is waited for
            self._slots.release()

    def close(self) -> None:
        """Make no more items; one that is being made is discarded."""
        self._closed.set()
        self._slots.release()

    def _make(self) -> None:
        try:
            for item in self._items:
                if self._closed.is_set():
                    return
                self._made.put((item, self._submit(item)))
                del item
                self._slots.acquire()
                if self._closed.is_set():
                    return
            self._made.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the results are used
            self._made.put(error)
