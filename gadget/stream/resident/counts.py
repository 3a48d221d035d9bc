"""Statistics of a resident server."""

from __future__ import annotations

import threading


class Counts:
    """Thread-safe counts of reconstructions and failures."""

    def __init__(self) -> None:
        self.reconstructions = 0
        self.fallbacks = 0
        """Reconstructions by a simpler method than was asked for."""
        self.failures = 0
        """Scans that ended with an error."""
        self._lock = threading.Lock()

    def add(self, fallback: str | None) -> None:
        """Count a reconstruction; `fallback` is the reason for a simpler method, if any."""
        with self._lock:
            self.reconstructions += 1
            self.fallbacks += fallback is not None

    def add_failure(self) -> None:
        """Count a scan that ended with an error."""
        with self._lock:
            self.failures += 1
