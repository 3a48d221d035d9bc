"""CUDA graphs: the kernels of a function, recorded once and then launched together.

A reconstruction is thousands of small kernels, and to launch one of them from Python takes longer
than it runs. Other devices work as if there were no graphs.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

log = logging.getLogger(__name__)

MIN_REPETITIONS = 4
"""Recording does not pay for fewer repetitions."""
MAX_GRAPHS = 4
"""Graphs kept for a function, one for each shape; the least recently used is dropped."""

Signature: TypeAlias = tuple[tuple[torch.Size, torch.dtype], ...]


class GraphRecorder:
    """Records graphs that share one memory pool.

    Graphs that share a pool overwrite each other's intermediate results, so that only one may run
    at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._last: torch.cuda.CUDAGraph | None = None

    def record(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        """Call `function`, then record it; return None if it cannot be recorded.

        The first call may build FFT plans and allocate memory, which no graph can hold.
        """
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            try:
                function()
                return self._capture(function)
            finally:
                current.wait_stream(self._stream)

    def _capture(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        # `torch.cuda.graph` would empty the cache of memory, which takes longer than it saves.
        graph = torch.cuda.CUDAGraph()
        pool = self._last.pool() if self._last is not None else None
        try:
            # Other threads go on taking memory meanwhile, for batches to come.
            graph.capture_begin(pool, capture_error_mode="thread_local")
            try:
                function()
            finally:
                graph.capture_end()
        except RuntimeError as error:
            log.warning("This goes on without a CUDA graph, which is slower: %s", error)
            # The pool still waits for the end of the recording: the next begins another.
            self._last = None
            return None
        # A pool lives as long as one of its graphs.
        self._last = graph
        return graph


class GraphedFunction:
    """A function of tensors that is recorded as a CUDA graph for each shape of arguments.

    Parameters
    ----------
    function
        What it computes depends on its arguments and on tensors that are changed in place only;
        nothing in it waits for the device.
    eager_calls
        Calls with a shape before it is recorded.
    """

    def __init__(self, function: Callable[..., Tensor], eager_calls: int = 1) -> None:
        self._function = function
        self._eager_calls = eager_calls
        self._calls: dict[Signature, int] = {}
        self._recorded: OrderedDict[Signature, _RecordedCall | None] = OrderedDict()
        self._recorder: GraphRecorder | None = None
        self._lock = threading.Lock()

    def __call__(self, *arguments: Tensor) -> Tensor:
        """Call the function, or replay its graph for this shape."""
        if not arguments[0].is_cuda:
            return self._function(*arguments)
        signature = tuple((a.shape, a.dtype) for a in arguments)
        with self._lock:
            if signature in self._recorded:
                self._recorded.move_to_end(signature)
                recorded = self._recorded[signature]
                return recorded(arguments) if recorded else self._function(*arguments)
            calls = self._calls[signature] = self._calls.get(signature, 0) + 1
            if calls <= self._eager_calls:
                return self._function(*arguments)
            return self._record(signature, arguments)

    def _record(self, signature: Signature, arguments: tuple[Tensor, ...]) -> Tensor:
        self._recorder = self._recorder or GraphRecorder(arguments[0].device)
        fixed = FixedTensors(*arguments)
        results: list[Tensor] = []
        graph = self._recorder.record(lambda: results.append(self._function(*fixed)))
        recorded = _RecordedCall(graph, fixed, results[1]) if graph is not None else None
        self._recorded[signature] = recorded
        if len(self._recorded) > MAX_GRAPHS:
            oldest, _ = self._recorded.popitem(last=False)
            del self._calls[oldest]
        return results[0]


class FixedTensors:
    """Tensors that keep their place in memory, as those that a recorded graph reads have to."""

    def __init__(self, *values: Tensor) -> None:
        self._tensors = tuple(value.clone() for value in values)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._tensors)

    def set(self, *values: Tensor) -> bool:
        """Take the values; return whether they have other places than before, as other shapes."""
        if [t.shape for t in self._tensors] != [value.shape for value in values]:
            self._tensors = tuple(value.clone() for value in values)
            return True
        for tensor, value in zip(self._tensors, values, strict=True):
            tensor.copy_(value)
        return False


class _RecordedCall:
    """A recorded call with its arguments and result."""

    def __init__(
        self, graph: torch.cuda.CUDAGraph, arguments: FixedTensors, result: Tensor
    ) -> None:
        self._graph = graph
        self._arguments = arguments
        self._result = result

    def __call__(self, arguments: tuple[Tensor, ...]) -> Tensor:
        self._arguments.set(*arguments)
        self._graph.replay()
        return self._result.clone()


class RepeatedStep:
    """A step that is repeated, on a GPU as a CUDA graph that is recorded once."""

    def __init__(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded = False

    def __call__(
        self,
        step: Callable[[], None],
        times: int,
        device: torch.device,
        finished: Callable[[], bool],
    ) -> None:
        """Repeat the step.

        Parameters
        ----------
        step
            The same at every call: by the same operations it changes tensors in place, and depends
            on them and on others that are changed in place only.
        times
            How often, at most.
        device
            Where the tensors are.
        finished
            Whether further steps change nothing. A GPU is not asked: to wait for its answer takes
            longer than a step.
        """
        if device.type != "cuda":
            for _ in range(times):
                if finished():
                    return
                step()
            return
        if not self._recorded and times >= MIN_REPETITIONS:
            self._graph = _recorder(device).record(step)
            self._recorded = True
            times -= 1
        for _ in range(times):
            step() if self._graph is None else self._graph.replay()


_thread_local = threading.local()


def _recorder(device: torch.device) -> GraphRecorder:
    """Return this thread's recorder: its graphs run one after the other."""
    recorders: dict[torch.device, GraphRecorder] = _thread_local.__dict__.setdefault(
        "recorders", {}
    )
    if device not in recorders:
        recorders[device] = GraphRecorder(device)
    return recorders[device]
