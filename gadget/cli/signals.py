"""Signals that end a command."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def handle_signals(
    handler: Callable[[int, FrameType | None], object], *numbers: signal.Signals
) -> None:
    """Call `handler` at these signals; SIGHUP stays ignored where `nohup` has ignored it."""
    for number in numbers:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
