"""Installed models: where they are looked for, and by which names.

Only the standard library is imported here: a name is checked before torch is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gadget.errors import ConfigError

CONFIG = "config.json"
"""The file that makes a folder a model."""


def search_path() -> list[Path]:
    """Return the folders that models are looked for in, first match wins."""
    package = Path(__file__).resolve().parents[1]
    folders = [Path(p) for p in os.environ.get("SCORE_GADGET_MODELS", "").split(os.pathsep) if p]
    # `_models` in an installed package, `models` beside it in a source checkout.
    return [*folders, package / "_models", package.parent / "models"]


def available_models() -> Iterator[Path]:
    """Yield the folder of each model that a name reaches."""
    seen: set[str] = set()
    for folder in search_path():
        for config in sorted(folder.glob(f"*/{CONFIG}")):
            if config.parent.name not in seen and config.is_file():
                seen.add(config.parent.name)
                yield config.parent


def find_model(name: str) -> Path:
    """Return the folder of a model given by name or by path.

    Raises
    ------
    ConfigError
        There is none; the message lists those that there are.
    """
    # Names first: a folder that happens to lie here must not stand in for an installed model.
    installed = [] if os.sep in name else [place / name for place in search_path()]
    for folder in [*installed, Path(name)]:
        with suppress(OSError):  # a folder that may not be read, a name too long for one
            if (folder / CONFIG).is_file():
                return folder
    known = ", ".join(sorted(p.name for p in available_models())) or "none"
    raise ConfigError(
        f"There is no model '{name}' (found: {known}). Give one of these names, the path of a "
        "folder with config.json and model.safetensors, or set SCORE_GADGET_MODELS."
    )
