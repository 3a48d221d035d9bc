"""Log of a training: losses as CSV and in TensorBoard, and pictures."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gadget.errors import reason
from gadget.files import atomic_write
from gadget.training.trainer import Trainer, learning_rate
from gadget.training.validation import Validation, noise_levels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


class TrainingLog:
    """Writes `losses.csv`, events for TensorBoard, and pictures.

    Parameters
    ----------
    folder
        Folder of the training.
    trainer
        The training; entries of an earlier run beyond its step are removed.
    validation
        Patches for the loss by noise level; without them there is the loss of the training alone.
    """

    def __init__(self, folder: Path, trainer: Trainer, validation: Validation | None) -> None:
        self._folder = folder
        self._trainer = trainer
        self._validation = validation
        levels = [_column(sigma) for sigma in noise_levels(trainer.config)]
        self._columns = ["step", "training", "validation", *levels]
        self._rows = self._read_rows()
        self._writer: Any = None
        with self._tolerate_io_errors():
            self._writer = _open_tensorboard(folder, trainer.step + 1)

    def write(self, loss: float) -> None:
        """Write the mean training loss since the last call."""
        with self._tolerate_io_errors():
            self._write(loss)

    def validate_and_draw(self) -> None:
        """Validate, and draw losses, samples and denoised patches."""
        with self._tolerate_io_errors():
            if self._validation is not None:
                self._validate(self._validation)
            self._draw()

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        with self._tolerate_io_errors():
            if self._writer is not None:
                self._writer.close()

    @contextmanager
    def _tolerate_io_errors(self) -> Iterator[None]:
        """Log errors of writing, such as a full disk, and let the training go on."""
        try:
            yield
        except OSError as error:
            log.warning("The training log in %s is not written: %s", self._folder, reason(error))

    def _write(self, loss: float) -> None:
        self._rows.append({name: "" for name in self._columns} | {"step": str(self._trainer.step)})
        self._add_losses({"training": loss})
        self._to_tensorboard(
            "learning rate", learning_rate(self._trainer.config, self._trainer.step)
        )

    def _validate(self, validation: Validation) -> None:
        losses = validation.losses(self._trainer)
        mean = sum(losses.values()) / len(losses)
        self._add_losses({"validation": mean} | {_column(s): loss for s, loss in losses.items()})
        text = ", ".join(f"{loss:.3f} at {sigma:g}" for sigma, loss in losses.items())
        log.info("validation loss %.4f; by noise level: %s", mean, text)

    def _read_rows(self) -> list[dict[str, str]]:
        """Return the rows of `losses.csv` so far, if it belongs to this training."""
        try:
            with (self._folder / "losses.csv").open(newline="") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames != self._columns:
                    return []
                return [row for row in reader if int(row["step"]) <= self._trainer.step]
        except (OSError, ValueError, csv.Error):
            return []

    def _add_losses(self, losses: dict[str, float]) -> None:
        """Fill cells of the last row."""
        self._rows[-1] |= {name: f"{loss:.5g}" for name, loss in losses.items()}
        with (
            atomic_write(self._folder / "losses.csv") as table,
            table.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)
        for name, loss in losses.items():
            self._to_tensorboard(f"loss/{name}", loss)

    def _draw(self) -> None:
        try:
            from gadget.training import pictures
        except ImportError:
            log.info("Pictures of a training need matplotlib: pip install 'score-gadget[train]'.")
            return
        self._save_figure("losses", pictures.loss_figure(self._rows))
        self._save_figure("samples", pictures.sample_sheet(self._trainer))
        if self._validation is not None:
            sheet = pictures.denoising_sheet(self._trainer, self._validation)
            self._save_figure("denoised", sheet)

    def _save_figure(self, name: str, figure: Figure) -> None:
        with atomic_write(self._folder / f"{name}.png") as picture:
            figure.savefig(picture)
        self._to_tensorboard(name, figure)

    def _to_tensorboard(self, name: str, what: float | Figure) -> None:
        """Add a number or a figure to TensorBoard."""
        if self._writer is None:
            return
        add = self._writer.add_scalar if isinstance(what, float) else self._writer.add_figure
        try:
            add(name, what, self._trainer.step)
        except OSError:
            self._writer = None  # it would raise the same error from now on
            raise


def _column(sigma: float) -> str:
    return f"sigma_{sigma:g}"


def _open_tensorboard(folder: Path, start: int) -> Any:  # noqa: ANN401 - a SummaryWriter or None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("No events for TensorBoard: pip install 'score-gadget[train]'.")
        return None
    return SummaryWriter(folder / "tensorboard", purge_step=start)
