"""Create methods from their names on the command line."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Literal

from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError
from gadget.evaluation.methods.method import Method
from gadget.evaluation.methods.with_bart import PENALTIES, Bart, BartMaps
from gadget.evaluation.methods.with_fastmri import FastMriUNet, FastMriVarNet
from gadget.evaluation.methods.with_score_gadget import (
    CountingPrior,
    ScoreGadget,
    load_counting_prior,
)
from gadget.evaluation.methods.with_sigpy import APPS, Sigpy, SigpyMaps

SAMPLER_LABELS = {
    "fast": "score-gadget",
    "paper": "hybrid (Chung and Ye)",
    "ssos": "SSOS (Chung and Ye)",
}
WITH_ARGUMENT = ("fast", "paper", "ssos", "unet", "varnet")


def default_methods() -> list[str]:
    """Return the names of the installed methods: conventional ones, and ours last."""
    sigpy = ["sigpy"] if importlib.util.find_spec("sigpy") else []
    bart = ["bart"] if shutil.which("bart") else []
    return ["zero-filled", "sense", *sigpy, *bart, "fast"]


class MethodFactory:
    """Creates methods from their names; they share the prior and the coil maps.

    Parameters
    ----------
    model, device, samples, seed
        As the settings of a reconstruction.
    """

    def __init__(self, model: str, device: str, samples: int, seed: int) -> None:
        self._model = model
        self._device = device
        self._samples = samples
        self._seed = seed
        self.prior: CountingPrior | None = None
        """The prior, once a method has asked for it."""
        self._makers: dict[str, Callable[[str], list[Method]]] = {
            "zero-filled": lambda _: [self._plain("zero-filled", "zero-filled", "fft")],
            "sense": lambda _: [self._plain("sense", "CG-SENSE, self-calibrated", "sense")],
            "sigpy": lambda _: [Sigpy(app, self._sigpy_maps) for app in APPS],
            **{f"sigpy-{app}": partial(self._sigpy, app) for app in APPS},
            "bart": lambda _: [Bart(penalty, self._bart_maps) for penalty in PENALTIES],
            **{f"bart-{penalty}": partial(self._bart, penalty) for penalty in PENALTIES},
            "unet": lambda weights: [FastMriUNet(weights, device)],
            "varnet": lambda weights: [FastMriVarNet(weights, device)],
            "ssos": lambda steps: [self._sampler("ssos", steps, "paper", joint_every=0)],
            "paper": lambda steps: [self._sampler("paper", steps, "paper")],
            "fast": lambda steps: [self._sampler("fast", steps, "fast")],
        }

    def methods(self, names: Sequence[str]) -> list[Method]:
        """Return the methods with these names: NAME, or NAME:STEPS, or NAME:WEIGHTS.

        Raises
        ------
        ConfigError
            There is no such method, model or device, or what a method needs is not installed.
        WeightsError
            A model is damaged.
        """
        found: list[Method] = []
        for text in names:
            name, _, argument = text.partition(":")
            if name not in self._makers or (argument and name not in WITH_ARGUMENT):
                raise ConfigError(
                    f"'{text}' is no method; expected one of {', '.join(self._makers)}, where "
                    "fast, paper and ssos take a number of steps (paper:200), and unet and varnet "
                    "a file of weights (unet:knee.pt)."
                )
            found += self._makers[name](argument)
        return list({method.name: method for method in found}.values())

    @cached_property
    def _sigpy_maps(self) -> SigpyMaps:
        return SigpyMaps()

    @cached_property
    def _bart_maps(self) -> BartMaps:
        return BartMaps()

    def _sigpy(self, app: str, _: str) -> list[Method]:
        return [Sigpy(app, self._sigpy_maps)]

    def _bart(self, penalty: str, _: str) -> list[Method]:
        return [Bart(penalty, self._bart_maps)]

    def _plain(self, name: str, label: str, method: Literal["fft", "sense"]) -> Method:
        return ScoreGadget(name, label, SamplerSettings(method=method, device=self._device))

    def _sampler(
        self, name: str, steps: str, method: Literal["fast", "paper"], joint_every: int = 10
    ) -> Method:
        try:
            settings = SamplerSettings(
                method=method,
                steps=int(steps) if steps else None,
                joint_every=joint_every,
                samples=self._samples if method == "fast" else 1,
                seed=self._seed,
                model=self._model,
                device=self._device,
            )
        except ValueError as error:
            raise ConfigError(
                f"'{name}:{steps}' is no method; the number of steps must be between 1 and 10000."
            ) from error
        self.prior = self.prior or load_counting_prior(self._model, self._device)
        label = f"{SAMPLER_LABELS[name]}, N = {settings.steps}" if steps else SAMPLER_LABELS[name]
        full_name = f"{name}:{steps}" if steps else name
        return ScoreGadget(full_name, label, settings, self.prior)
