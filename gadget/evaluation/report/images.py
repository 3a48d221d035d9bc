"""Write the images of the report to HDF5."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py

from gadget.errors import ConfigError
from gadget.evaluation.collection import Collection
from gadget.files import write_errors


def write_images(path: Path, collections: Iterable[Collection]) -> None:
    """Write the images of the slices that the page shows.

    A group for each slice holds `truth` `[y, x]` and a group for each pattern: `mask` `[ky, kx]`,
    the magnitudes by the names of the methods, and `<method> std` where an error was predicted.

    Parameters
    ----------
    path
        HDF5 file.
    collections
        Results to write.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    with write_errors(path, ConfigError), h5py.File(path, "w") as file:
        for collection in collections:
            _write(file, collection)


def _write(file: h5py.File, collection: Collection) -> None:
    for title, results in collection.shown.items():
        group = file.require_group(title.replace("/", "_"))
        if "truth" not in group:
            group["truth"] = results[0].case.truth
        for result in results:
            pattern = group.require_group(result.pattern.name.replace("/", "_"))
            found = {"mask": result.mask, result.method.name: result.image}
            if result.std is not None:
                found[f"{result.method.name} std"] = result.std
            for name, values in found.items():
                if name not in pattern:
                    pattern[name] = values
