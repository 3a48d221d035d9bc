"""Models in memory and device workers, shared by all connections of a resident server."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict

import torch

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.devices import select_device
from gadget.diffusion.installed_models import available_models
from gadget.diffusion.model_loading import load_prior, model_for
from gadget.diffusion.prior import Prior
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError
from gadget.stream.resident.worker import FairWorker

CACHED_MODELS = 3
"""Number of cached models beside the server's own."""

log = logging.getLogger(__name__)


class Engine:
    """Loads each model once, and gives every device one worker.

    Models are loaded by the thread that computes with them: every thread that computes gets threads
    of OpenMP, and with more of them than processors none spins any more, so that the work beside
    the network takes three times as long.

    Parameters
    ----------
    model
        Name or folder of the server's own model, which is loaded at once and stays.
    device
        Its device, as in the settings of a reconstruction.

    Raises
    ------
    ConfigError
        There is no such device, or no such model.
    WeightsError
        The model is damaged.
    """

    def __init__(self, model: str, device: str) -> None:
        self.device = _normalized_device(device)
        self.model = model_for(model, self.device)
        self._workers_lock = threading.Lock()
        self._models_lock = threading.Lock()
        self._others: OrderedDict[tuple[str, torch.device], Prior] = OrderedDict()
        worker = FairWorker(f"worker of {self.device}")
        self._workers = {self.device: worker}
        try:
            self.prior = worker.submit(self, lambda: _load(self.model, self.device)).result()
        except Exception:
            worker.close()
            raise

    @property
    def waiting(self) -> int:
        """Buffers that wait for a device."""
        with self._workers_lock:
            workers = tuple(self._workers.values())
        return sum(worker.waiting for worker in workers)

    def provide(self, settings: SamplerSettings) -> tuple[Reconstructor, FairWorker]:
        """Return the reconstructor for these settings, and the worker that it must run in.

        The device `auto` and the model `auto` are the server's own. Another model is loaded when
        the worker first needs it.

        Raises
        ------
        ConfigError
            There is no such device, or the model is none of the installed ones. A connection cannot
            make the server read any other folder.
        """
        device = self.device if settings.device == "auto" else _normalized_device(settings.device)
        own = settings.model in (DEFAULT_MODEL, self.prior.name, self.model)
        model = self.model if own else settings.model
        if not own:
            self._check_installed(model)
        settings = settings.model_copy(update={"device": str(device), "model": model})
        with self._workers_lock:
            worker = self._workers.get(device) or FairWorker(f"worker of {device}")
            self._workers[device] = worker
        return Reconstructor(settings, load=self._provide_prior), worker

    def _check_installed(self, model: str) -> None:
        installed = {folder.name for folder in available_models()}
        if model not in installed:
            raise ConfigError(
                f"This server has no model '{model}': name one of "
                f"{', '.join(sorted(installed | {self.prior.name}))}, or leave the property "
                "'model' out."
            )

    def _provide_prior(self, model: str, device: torch.device) -> Prior:
        if (model, device) == (self.model, self.device):
            return self.prior
        with self._models_lock:
            prior = self._others.pop((model, device), None)
            if prior is None:
                while len(self._others) >= CACHED_MODELS:  # before there is another one in memory
                    self._others.popitem(last=False)
                prior = _load(model, device)
            self._others[model, device] = prior
            return prior

    def close(self) -> None:
        """End the workers, whose queues must be empty."""
        for worker in self._workers.values():
            worker.close()


def _load(model: str, device: torch.device) -> Prior:
    started = time.monotonic()
    prior = load_prior(model, device)
    log.info("Model %s loaded to %s in %.1f s.", model, device, time.monotonic() - started)
    return prior


def _normalized_device(name: str) -> torch.device:
    """Normalize the name of a device, so that each has one name."""
    device = select_device(name)
    if device.type != "cuda":
        return torch.device(device.type)
    return torch.device(
        "cuda", torch.cuda.current_device() if device.index is None else device.index
    )
