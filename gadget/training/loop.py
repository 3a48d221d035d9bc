"""The training loop: resume, update, checkpoint, validate, and roll back after divergence."""

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
from gadget.training.examples import Examples, batches, loader_workers
from gadget.training.images import Volume
from gadget.training.trainer import Trainer
from gadget.training.training_log import TrainingLog
from gadget.training.validation import Validation

log = logging.getLogger(__name__)

REPORT_STEPS = 50
VALIDATION_STEPS, VALIDATION_SECONDS = 500, 120.0
"""Shortest intervals between validations, which cost a few percent of the time."""
CHECKPOINT_SECONDS = 45.0
"""Interval of checkpoints: a kill loses at most this much."""
MAX_ROLLBACKS = 5
"""How often a training rolls back to its last good checkpoint before it gives up."""
ROLLBACK_SEED_STRIDE = 1_000_003
"""Distance between the seeds of the patches before and after a rollback."""


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is."""

    step: int
    steps: int
    loss: float | None
    """Mean weighted loss since the last report; 1 is that of the best linear denoiser. At the
    beginning there is none."""


class Diverged(Exception):  # noqa: N818 - no error yet: the training goes back and tries again
    """The loss or the weights are not finite."""


def train(
    trainer: Trainer,
    volumes: Sequence[Volume],
    folder: Path,
    report: Callable[[TrainingProgress], None],
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
    DeviceMemoryError
        The device's memory is too small.
    """
    checkpoints = Checkpoints(folder)
    _resume(trainer, checkpoints)
    for _ in range(MAX_ROLLBACKS):
        try:
            _Run(trainer, checkpoints, folder, report, validation).run(volumes, stop)
            return
        except Diverged as reason:
            _roll_back(trainer, checkpoints, reason)
    raise DataError(
        f"The loss is no number, time and again, although the patches were others: lower the "
        f"learning rate ({trainer.config.learning_rate}) and train into another folder."
    )


def _resume(trainer: Trainer, checkpoints: Checkpoints) -> None:
    ranks = trainer.ranks
    ranks.barrier()
    state = checkpoints.load(trainer.device)
    ranks.barrier()
    if state is not None:
        trainer.restore(state)
        log.info("going on from step %d of %d", trainer.step, trainer.config.steps)
    elif ranks.is_main:
        checkpoints.save(trainer.state())
    step = ranks.mean(torch.tensor(trainer.step, dtype=torch.float64, device=trainer.device))
    if step != trainer.step:
        raise ConfigError(
            "The processes of the training do not find the same checkpoint; give all of them the "
            "same output folder."
        )


def _roll_back(trainer: Trainer, checkpoints: Checkpoints, reason: Diverged) -> None:
    failed, rollbacks = trainer.step, trainer.rollbacks + 1
    state = checkpoints.load(trainer.device)
    if state is None:
        raise DataError(f"{reason} at step {failed}, and the checkpoint is gone; begin anew.")
    trainer.restore(state)
    trainer.rollbacks = rollbacks
    log.warning(
        "%s at step %d: back to step %d, from there with other patches",
        reason,
        failed,
        trainer.step,
    )


class _Run:
    """The updates from a checkpoint to the end, or until the training diverges."""

    def __init__(
        self,
        trainer: Trainer,
        checkpoints: Checkpoints,
        folder: Path,
        report: Callable[[TrainingProgress], None],
        validation: Validation | None,
    ) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._report = report
        self._training_log = (
            TrainingLog(folder, trainer, validation) if trainer.ranks.is_main else None
        )
        self._losses: list[Tensor] = []
        self._saved = self._validated = time.monotonic()
        report(TrainingProgress(trainer.step, trainer.config.steps, None))

    def run(self, volumes: Sequence[Volume], stop: Callable[[], bool]) -> None:
        trainer, config, ranks = self._trainer, self._trainer.config, self._trainer.ranks
        examples = Examples(config, volumes, config.seed + ROLLBACK_SEED_STRIDE * trainer.rollbacks)
        workers = loader_workers(trainer.device, ranks)
        memory = explain_out_of_memory(
            f"{config.batch} patches of {config.patch} x {config.patch} are too much for the "
            f"memory of {trainer.device} with this network: lower `batch` or `widths`, or share "
            "the batch among GPUs with torchrun."
        )
        try:
            with memory:
                for batch in batches(examples, config, trainer.step, ranks, workers):
                    self._losses.append(trainer.update(batch))
                    stopping = ranks.any(stop(), trainer.device)
                    self._record(stopping)
                    if stopping:
                        break
        finally:
            if self._training_log is not None:
                self._training_log.close()

    def _record(self, stopping: bool) -> None:
        """Report, save and validate after a step, where they are due."""
        now = time.monotonic()
        step, last = self._trainer.step, self._trainer.step == self._trainer.config.steps
        validate = last or (
            step % VALIDATION_STEPS == 0 and now - self._validated > VALIDATION_SECONDS
        )
        if last or step % REPORT_STEPS == 0:
            self._report_loss()
        if validate or stopping or now - self._saved > CHECKPOINT_SECONDS:
            self._save()
        if validate and not stopping and self._training_log is not None:
            self._training_log.validate_and_draw()
            self._validated = time.monotonic()

    def _report_loss(self) -> None:
        trainer = self._trainer
        loss = trainer.ranks.mean(torch.stack(self._losses).mean())
        self._losses.clear()
        if not math.isfinite(loss):
            raise Diverged(f"The loss is {loss}")
        if not trainer.is_finite():
            raise Diverged("Some weights are no numbers")
        self._report(TrainingProgress(trainer.step, trainer.config.steps, loss))
        if self._training_log is not None:
            self._training_log.write(loss)

    def _save(self) -> None:
        # Weights that are not finite are not saved: the next report rolls back.
        if self._trainer.ranks.is_main and self._trainer.is_finite():
            self._checkpoints.save(self._trainer.state())
        self._saved = time.monotonic()
