"""A training from its first step, or its last checkpoint, to its end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gadget.diffusion.devices import explain_out_of_memory
from gadget.errors import ConfigError, DataError
from gadget.training.checkpoints import Checkpoints
from gadget.training.examples import Examples, batches, workers_beside
from gadget.training.images import Volume
from gadget.training.journal import Journal
from gadget.training.trainer import Trainer
from gadget.training.validation import Validation

log = logging.getLogger(__name__)

REPORT_STEPS = 50
LOOK_STEPS, LOOK_SECONDS = 500, 120.0
"""Least distances of two validations: they cost a few percent of the time."""
CHECKPOINT_SECONDS = 45.0
"""A kill loses at most this much work."""
MAX_RETREATS = 5
"""How often a training goes back to its last good checkpoint before it gives up."""
RETREAT_SEEDS = 1_000_003
"""Distance between the seeds of the patches before and after a retreat."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    steps: int
    loss: float | None
    """Mean weighted loss since the last report; 1 is that of the best linear denoiser. At the
    beginning there is none."""


class Diverged(Exception):  # noqa: N818 - no error yet: the training goes back and tries again
    """The loss or the weights are no longer numbers."""


def train(
    trainer: Trainer,
    volumes: Sequence[Volume],
    folder: Path,
    report: Callable[[Progress], None],
    *,
    validation: Validation | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the recipe's last step, or until `stop` asks for an early end.

    The newest two checkpoints, `losses.csv`, pictures and events for TensorBoard are in `folder`.

    Raises
    ------
    ConfigError
        The checkpoint was made by another recipe, or none can be written.
    DataError
        The loss is no number, time and again, or the checkpoints are damaged.
    DeviceError
        The device's memory is too small.
    """
    checkpoints = Checkpoints(folder)
    _resume(trainer, checkpoints)
    for _ in range(MAX_RETREATS):
        try:
            _Run(trainer, checkpoints, folder, report, validation).go_on(volumes, stop)
            return
        except Diverged as reason:
            _go_back(trainer, checkpoints, reason)
    raise DataError(
        f"The loss is no number, time and again, although the patches were others: lower the "
        f"learning rate ({trainer.config.learning_rate}) and train into another folder."
    )


def _resume(trainer: Trainer, checkpoints: Checkpoints) -> None:
    ranks = trainer.ranks
    ranks.wait()
    state = checkpoints.load(trainer.device)
    ranks.wait()
    if state is not None:
        trainer.restore(state)
        log.info("going on from step %d of %d", trainer.step, trainer.config.steps)
    elif ranks.leads:
        checkpoints.save(trainer.state())
    step = ranks.mean(torch.tensor(trainer.step, dtype=torch.float64, device=trainer.device))
    if step != trainer.step:
        raise ConfigError(
            "The processes of the training do not find the same checkpoint; give all of them the "
            "same output folder."
        )


def _go_back(trainer: Trainer, checkpoints: Checkpoints, reason: Diverged) -> None:
    failed, retreats = trainer.step, trainer.retreats + 1
    state = checkpoints.load(trainer.device)
    if state is None:
        raise DataError(f"{reason} at step {failed}, and the checkpoint is gone; begin anew.")
    trainer.restore(state)
    trainer.retreats = retreats
    log.warning(
        "%s at step %d: back to step %d, from there with other patches",
        reason,
        failed,
        trainer.step,
    )


class _Run:
    """The updates from one checkpoint on, until the end or until the loss is no number."""

    def __init__(
        self,
        trainer: Trainer,
        checkpoints: Checkpoints,
        folder: Path,
        report: Callable[[Progress], None],
        validation: Validation | None,
    ) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._report = report
        self._journal = Journal(folder, trainer, validation) if trainer.ranks.leads else None
        self._losses: list[Tensor] = []
        self._saved = self._looked = time.monotonic()
        report(Progress(trainer.step, trainer.config.steps, None))

    def go_on(self, volumes: Sequence[Volume], stop: Callable[[], bool]) -> None:
        trainer, config, ranks = self._trainer, self._trainer.config, self._trainer.ranks
        examples = Examples(config, volumes, config.seed + RETREAT_SEEDS * trainer.retreats)
        workers = workers_beside(trainer.device, ranks)
        memory = explain_out_of_memory(
            f"{config.batch} patches of {config.patch} x {config.patch} are too much for the "
            f"memory of {trainer.device} with this network: lower `batch` or `widths`, or share "
            "the batch among GPUs with torchrun."
        )
        try:
            with memory:
                for batch in batches(examples, config, trainer.step, ranks, workers):
                    self._losses.append(trainer.update(batch))
                    leave = ranks.any(stop(), trainer.device)
                    self._record(leave)
                    if leave:
                        break
        finally:
            if self._journal is not None:
                self._journal.close()

    def _record(self, leave: bool) -> None:
        """Report, save and validate after a step, where it is time to."""
        now = time.monotonic()
        step, last = self._trainer.step, self._trainer.step == self._trainer.config.steps
        look = last or (step % LOOK_STEPS == 0 and now - self._looked > LOOK_SECONDS)
        if last or step % REPORT_STEPS == 0:
            self._tell_loss()
        if look or leave or now - self._saved > CHECKPOINT_SECONDS:
            self._save()
        if look and not leave and self._journal is not None:
            self._journal.look()
            self._looked = time.monotonic()

    def _tell_loss(self) -> None:
        trainer = self._trainer
        loss = trainer.ranks.mean(torch.stack(self._losses).mean())
        self._losses.clear()
        if not math.isfinite(loss):
            raise Diverged(f"The loss is {loss}")
        if not trainer.is_finite():
            raise Diverged("Some weights are no numbers")
        self._report(Progress(trainer.step, trainer.config.steps, loss))
        if self._journal is not None:
            self._journal.write(loss)

    def _save(self) -> None:
        # Weights that are no numbers go no further than memory: the next report sends them back.
        if self._trainer.ranks.leads and self._trainer.is_finite():
            self._checkpoints.save(self._trainer.state())
        self._saved = time.monotonic()
