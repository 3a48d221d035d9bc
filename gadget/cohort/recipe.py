"""The recipe of a cohort: pipeline, groups, server and exports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gadget.cohort.exports import Export
from gadget.cohort.node_settings import override, own_settings
from gadget.diffusion import AUTO_MODELS, DEFAULT_MODEL
from gadget.diffusion.installed_models import find_model
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError, WeightsError
from gadget.stream.host.pipeline import find_pipeline, parse_pipeline, pipeline_text


@dataclass(frozen=True)
class Recipe:
    """How each file of raw data is reconstructed and exported."""

    pipeline: str
    """XML, or the name of a pipeline that the server has."""
    in_group: str | None = None
    """Group of the raw data; by default the one that there is."""
    out_group: str = "dataset"
    """Group of the images."""
    server: str | None = None
    """`host:port` of a server that runs the pipeline; by default it is run here."""
    exports: tuple[Export, ...] = ()

    @property
    def pipeline_is_name(self) -> bool:
        """Whether `pipeline` is the name of one that the server has."""
        return "<" not in self.pipeline


def prepare_pipeline(config: str, settings: Mapping[str, str], server: str | None) -> str:
    """Return the pipeline of a recipe, with settings overridden.

    Parameters
    ----------
    config
        A file, or the name of a pipeline. A server looks for the name among its own, unless
        settings are to be overridden.
    settings
        New values by the names of the settings.
    server
        As in `Recipe`.

    Raises
    ------
    ConfigError
        There is no such pipeline, it cannot be run, or a setting is wrong.
    """
    if server is not None and not settings and not Path(config).is_file():
        return config
    path = find_pipeline(config)
    name, text = f"The pipeline {path}", pipeline_text(path)
    if server is None:
        parse_pipeline(text, name)
        if os.sep in settings.get("model", ""):
            # Workers of a cluster are at home in other folders.
            settings = {**settings, "model": str(Path(settings["model"]).absolute())}
    return override(text, settings, name)


def model_checksums(recipe: Recipe) -> dict[str, str]:
    """Return the checksum of the weights of each model that the pipeline uses.

    Those of both models that `auto` may be, on this machine or another. The models of a server are
    unknown.

    Raises
    ------
    ConfigError
        There is no such model, or it is damaged.
    """
    names = _model_names(recipe)
    if not names:
        return {}
    if DEFAULT_MODEL in names:
        names = names - {DEFAULT_MODEL} | set(AUTO_MODELS)
    from gadget.diffusion.model_folder import read_config

    try:
        return {name: read_config(find_model(name)).sha256 for name in sorted(names)}
    except WeightsError as error:
        raise ConfigError(str(error)) from error


def check_models(recipe: Recipe) -> None:
    """Check that the models that the pipeline names are there, without loading torch.

    Raises
    ------
    ConfigError
        There is no such model.
    """
    for name in sorted(_model_names(recipe) - {DEFAULT_MODEL}):
        find_model(name)


def _model_names(recipe: Recipe) -> set[str]:
    if recipe.server is not None:
        return set()
    return {
        settings.model
        for settings in own_settings(recipe.pipeline)
        if isinstance(settings, SamplerSettings) and settings.needs_prior
    }
