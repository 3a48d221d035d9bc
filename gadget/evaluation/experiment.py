"""Run every method on every undersampled slice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError, DataError, DeviceMemoryError, WeightsError
from gadget.evaluation.cases import Case, Magnitude
from gadget.evaluation.methods.method import Estimate, Method
from gadget.evaluation.metrics import Scores, scores
from gadget.evaluation.uncertainty import UncertaintyScores, uncertainty_scores
from gadget.mri.kspace import KSpace
from gadget.mri.sampling.patterns import Pattern

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """Result of one method on one undersampled slice."""

    case: Case
    pattern: Pattern
    method: Method
    mask: NDArray[np.bool_]
    """Measured points `[ky, kx]`."""
    estimate: Estimate
    image: NDArray[np.float32]
    """Magnitude `[y, x]`, cropped like the truth."""
    std: NDArray[np.float32] | None
    """Predicted standard deviation `[y, x]`, cropped alike."""
    scores: Scores
    uncertainty_scores: UncertaintyScores | None
    """Scores of the predicted standard deviation."""


CANNOT_RUN = (ConfigError, DeviceMemoryError, WeightsError)
"""Errors that a method would have at every slice."""


@dataclass(frozen=True)
class MethodFailure:
    """A method that failed on one slice."""

    case: Case
    pattern: Pattern
    method: Method
    reason: str


def run(
    case: Case, patterns: Sequence[Pattern], methods: Sequence[Method], seed: int
) -> Iterator[Result | MethodFailure]:
    """Yield the results of one slice, pattern by pattern.

    Of several images that a method offers the one with the highest PSNR counts. A pattern that
    cannot be had of the slice is a failure of all methods.

    Raises
    ------
    ConfigError, DeviceMemoryError, WeightsError
        A method cannot run here at all.
    """
    for pattern in patterns:
        try:
            kspace = case.undersampled(pattern, seed)
        except (ConfigError, DataError) as error:
            log.warning("No image of %s, %s: %s", case.title, pattern.label, error)
            yield from (MethodFailure(case, pattern, method, str(error)) for method in methods)
            continue
        for method in methods:
            yield _best(case, pattern, method, kspace)


def first_image(title: str, method: Method, kspace: KSpace) -> Magnitude | None:
    """Return the first image of a method, None where it fails, which is logged.

    Raises
    ------
    ConfigError, DeviceMemoryError, WeightsError
        The method cannot run here at all.
    """
    try:
        return _check_finite(method, next(method.reconstruct(kspace)).image)
    except CANNOT_RUN:
        raise
    except Exception as error:  # noqa: BLE001 - methods fail as they like
        _log_failure(method, title, error)
        return None


def _best(case: Case, pattern: Pattern, method: Method, kspace: KSpace) -> Result | MethodFailure:
    """Return the best of a method's images, a failure if there is none."""
    where = f"{case.title}, {pattern.label}"
    results: list[Result] = []
    reason = "It offered no image."
    try:
        for estimate in method.reconstruct(kspace):
            try:
                results.append(_score(case, pattern, method, kspace, estimate))
            except DataError as error:
                setting = f", setting {estimate.setting}" if estimate.setting else ""
                reason = _log_failure(method, f"{where}{setting}", error)
    except CANNOT_RUN:
        raise
    except Exception as error:  # noqa: BLE001 - methods fail as they like
        reason = _log_failure(method, where, error)
    if not results:
        return MethodFailure(case, pattern, method, reason)
    return max(results, key=lambda result: result.scores.psnr)


def _log_failure(method: Method, where: str, error: Exception) -> str:
    """Log an error; return it for the record."""
    log.warning("No image by %s on %s: %s", method.label, where, error)
    log.debug("The traceback of that:", exc_info=error)
    return f"{type(error).__name__}: {error}"


def _check_finite(method: Method, image: Magnitude) -> Magnitude:
    if not np.isfinite(image).all():
        raise DataError(f"{method.label} gave values that are not finite.")
    return image


def _score(
    case: Case, pattern: Pattern, method: Method, kspace: KSpace, estimate: Estimate
) -> Result:
    image = _check_finite(method, case.crop(estimate.image))
    std = case.crop(estimate.std) if estimate.std is not None else None
    return Result(
        case=case,
        pattern=pattern,
        method=method,
        mask=kspace.mask[0],
        estimate=estimate,
        image=image,
        std=std,
        scores=scores(case.truth, image),
        uncertainty_scores=uncertainty_scores(case.truth, image, std) if std is not None else None,
    )
