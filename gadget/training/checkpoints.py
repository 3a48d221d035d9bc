"""Checkpoints of a training: the newest and the previous one."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import torch

from gadget.errors import ConfigError, DataError, first_line, reason
from gadget.files import check_sums

log = logging.getLogger(__name__)

State: TypeAlias = dict[str, Any]
"""What `torch.load` reads with ``weights_only=True``."""


class Checkpoints:
    """Two checkpoints in a folder; at least one of them is intact after a crash.

    Parameters
    ----------
    folder
        Folder of `checkpoint.pt` and `checkpoint.previous.pt`.
    """

    def __init__(self, folder: Path) -> None:
        self._newest = folder / "checkpoint.pt"
        self._previous = folder / "checkpoint.previous.pt"

    def save(self, state: State) -> None:
        """Write the newest checkpoint; the former one becomes the previous one.

        Raises
        ------
        ConfigError
            The disk is full, or may not be written.
        """
        partial = self._newest.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            if self._newest.exists():
                self._newest.replace(self._previous)
            partial.replace(self._newest)
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                partial.unlink()
            # Torch turns a full disk into an error of its own, about its file's positions.
            cause = reason(error) if isinstance(error, OSError) else "there is no room for it"
            raise ConfigError(
                f"The checkpoint {self._newest} cannot be written: {cause}. Make room and "
                "repeat the command; it goes on from the last checkpoint."
            ) from error

    def load(self, device: torch.device) -> State | None:
        """Return the newest intact checkpoint, None where there is none yet.

        Raises
        ------
        DataError
            There are checkpoints, and all of them are damaged.
        """
        found = [path for path in (self._newest, self._previous) if path.exists()]
        for path in found:
            try:
                state = _read(path, device)
            except Exception as error:  # noqa: BLE001 - damaged files raise whatever they like
                log.warning("The checkpoint %s is damaged: %s", path, first_line(error))
                continue
            if path == self._previous:
                # Else the next save would put the damaged one in the place of this one.
                self._newest.unlink(missing_ok=True)
            return state
        if found:
            raise DataError(
                f"No checkpoint in {self._newest.parent} is whole; remove them to begin anew."
            )
        return None


def _read(path: Path, device: torch.device) -> State:
    check_sums(path)  # torch does not
    state: State = torch.load(path, map_location=device, weights_only=True)
    if not {"config", "step"} <= state.keys():
        raise DataError("it is no checkpoint of a training")
    return state
