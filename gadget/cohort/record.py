"""Provenance of the images in a file: raw data and recipe, stored as an HDF5 attribute."""

from __future__ import annotations

import hashlib
from pathlib import Path
from xml.etree.ElementTree import canonicalize

import h5py
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gadget import __version__
from gadget.cohort.recipe import Recipe, model_checksums
from gadget.errors import ConfigError, DataError
from gadget.mrd.hdf5 import open_hdf5
from gadget.text import encodable

ATTRIBUTE = "score_gadget"
"""Name of the attribute, of the group of the images."""
MAX_PIPELINE = 2**15
"""HDF5 has room for 64 KiB in an attribute."""


class RecipeFingerprint(BaseModel):
    """Everything in a recipe that images depend on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    """Version of this package."""
    pipeline: str
    server: bool
    """Whether a server ran the pipeline."""
    models: dict[str, str]
    """Checksums of the weights by the names of the models."""
    group: str | None
    """Group of the raw data."""


class Source(BaseModel):
    """Identifies raw data; moving and copying (with `cp -p`) change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size: int
    """[bytes]"""
    modified_ns: int
    """[ns since 1970]"""


class Record(BaseModel):
    """Provenance of the images in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: Source
    recipe: RecipeFingerprint = Field(alias="making")
    """Called `making` in files."""
    exports: frozenset[str] = frozenset()
    """Formats and folders that the images have been exported to."""

    def matches(self, other: Record) -> bool:
        """Whether both are of the same raw data and the same recipe."""
        return (self.source, self.recipe) == (other.source, other.recipe)


def fingerprint_of(recipe: Recipe) -> RecipeFingerprint:
    """Return the fingerprint of a recipe.

    Raises
    ------
    ConfigError
        A model of the pipeline is missing.
    """
    pipeline = recipe.pipeline
    if not recipe.pipeline_is_name:
        # Comments and layout change no image.
        pipeline = canonicalize(pipeline, strip_text=True)
    if len(pipeline) > MAX_PIPELINE:
        pipeline = f"sha256 {hashlib.sha256(pipeline.encode()).hexdigest()}"
    return RecipeFingerprint(
        version=__version__,
        pipeline=pipeline,
        server=recipe.server is not None,
        models=model_checksums(recipe),
        group=recipe.in_group,
    )


def source_of(raw: Path) -> Source:
    """Return what identifies the present state of a file."""
    try:
        found = raw.stat()
    except OSError:  # a dangling link, or gone by now: opening it will say so, for this file alone
        return Source(name=encodable(raw.name), size=0, modified_ns=0)
    return Source(name=encodable(raw.name), size=found.st_size, modified_ns=found.st_mtime_ns)


def read_record(path: Path, group: str) -> Record | None:
    """Return the record of the images in a group, None where there is none that can be read."""
    try:
        with open_hdf5(path) as file:
            here = file.get(group)
            text = here.attrs.get(ATTRIBUTE) if isinstance(here, h5py.Group) else None
    except (ConfigError, DataError, OSError, RuntimeError):
        return None
    try:
        return Record.model_validate_json(text) if isinstance(text, str) else None
    except ValidationError:
        return None


def write_record(path: Path, group: str, record: Record) -> None:
    """Write the record beside the images of a group."""
    with h5py.File(path, "r+") as file:
        file[group].attrs[ATTRIBUTE] = record.model_dump_json(by_alias=True)
