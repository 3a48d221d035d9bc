"""Read magnitude slices from DICOM series."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.extras import optional_import
from gadget.training.skipped_files import SkippedFiles
from gadget.training.slices import Slices, isotropic, to_slices

NO_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "VELOCITY MAP"}
"""Third and further values of Image Type that are no magnitude."""
SPACING_TOLERANCE = 0.05
"""Relative tolerance of evenly spaced slices."""

Dataset: TypeAlias = Any
"""`pydicom.Dataset`; its attributes are the standard's keywords."""


@dataclass(frozen=True)
class Frame:
    """One slice with its place in the patient."""

    pixels: NDArray[np.float32]
    inverted: bool
    """White is the lowest value (MONOCHROME1)."""
    number: int
    """Instance Number."""
    orientation: tuple[float, ...]
    """Directions of the rows and of the columns."""
    distance: float
    """Position along the slice normal [mm]; the instance's number where no position is stored."""
    spacing: tuple[float, float]
    """Distance of the rows and of the columns [mm]."""


def group_series(paths: Iterable[Path], skipped: SkippedFiles) -> dict[str, list[Path]]:
    """Return the files of each series, by its SeriesInstanceUID, in the order of `paths`."""
    series: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            header = _pydicom().dcmread(
                path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"]
            )
            if "Rows" not in header:
                raise DataError("it is DICOM without an image")
            series[str(header.get("SeriesInstanceUID", path))].append(path)
        except Exception as error:  # noqa: BLE001 - damaged files raise whatever they like
            skipped.add(path, error)
    return series


def read_series(paths: list[Path], skipped: SkippedFiles) -> Iterator[Slices]:
    """Yield the volumes of one series; of repeated positions, each time as one more volume."""
    frames: list[Frame] = []
    for path in paths:
        try:
            frames += _frames(path)
        except Exception as error:  # noqa: BLE001 - damaged files raise whatever they like
            skipped.add(path, error)
    highest = max((float(frame.pixels.max()) for frame in frames), default=0.0)
    for volume in _volumes(frames):
        planes = [highest - f.pixels if f.inverted else f.pixels for f in volume]
        spacing = _regular_spacing(volume)
        yield to_slices(np.stack(planes), spacing) if spacing and isotropic(spacing) else planes


def _frames(path: Path) -> list[Frame]:
    dataset = _pydicom().dcmread(path)
    colours = dataset.get("PhotometricInterpretation") or "MONOCHROME2"
    if not colours.startswith("MONOCHROME"):
        raise DataError(f"its pixels are colours ({colours})")
    pixels = _pixels(dataset)
    wanted = [number for number in range(len(pixels)) if _is_magnitude(dataset, number)]
    if not wanted:
        raise DataError("it is a phase, real or imaginary image, no magnitude")
    return [_frame(dataset, number, pixels[number]) for number in wanted]


def _pydicom() -> Any:  # noqa: ANN401 - a module
    with optional_import("DICOM files need", "train"):
        import pydicom
    # It logs whole tracebacks of what is told in a line here.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return pydicom


def _pixels(dataset: Dataset) -> NDArray[Any]:
    """Return the stored values `[frame, y, x]`."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        pixels = dataset.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        if not syntax.is_compressed:
            raise
        raise DataError(
            f"its pixels are compressed ({syntax.name}) and cannot be decoded with what is "
            "installed; pylibjpeg and gdcm know more"
        ) from error
    return pixels.reshape(-1, *pixels.shape[-2:])


def _frame(dataset: Dataset, number: int, pixels: NDArray[Any]) -> Frame:
    values = _macro(dataset, number, "PixelValueTransformationSequence")
    slope, intercept = (
        float(values.get(name, default))
        for name, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    plane = _macro(dataset, number, "PlaneOrientationSequence").get("ImageOrientationPatient")
    position = _macro(dataset, number, "PlanePositionSequence").get("ImagePositionPatient")
    spacing = _macro(dataset, number, "PixelMeasuresSequence").get("PixelSpacing") or (1, 1)
    instance = int(dataset.get("InstanceNumber") or 0) + number
    orientation = tuple(round(float(part), 3) for part in plane or ())
    distance = float(instance)
    if len(orientation) == 6 and position:
        normal = np.cross([float(part) for part in plane[:3]], [float(part) for part in plane[3:]])
        distance = float(normal @ np.array([float(part) for part in position]))
    return Frame(
        pixels=(pixels * np.float32(slope) + np.float32(intercept)).astype(np.float32),
        inverted=dataset.get("PhotometricInterpretation") == "MONOCHROME1",
        number=instance,
        orientation=orientation,
        distance=round(distance, 2),
        spacing=(float(spacing[0]), float(spacing[1])),
    )


def _macro(dataset: Dataset, number: int, name: str) -> Dataset:
    """Return where a frame's attributes are: its functional group, the shared one, or the top."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [*per_frame[number : number + 1]] if per_frame else []
    for group in (*groups, *(dataset.get("SharedFunctionalGroupsSequence") or ())):
        if group.get(name):
            return group[name].value[0]
    return dataset


def _is_magnitude(dataset: Dataset, number: int) -> bool:
    kind = _macro(dataset, number, "MRImageFrameTypeSequence")
    words = kind.get("FrameType") or kind.get("ImageType") or ()
    words = [words] if isinstance(words, str) else words
    component = kind.get("ComplexImageComponent") or "MAGNITUDE"
    return component in ("MAGNITUDE", "MIXED") and not NO_MAGNITUDE.intersection(words[2:])


def _volumes(frames: list[Frame]) -> list[list[Frame]]:
    """Split frames into volumes by repetition of their position; sort each by position."""
    repeats: Counter[tuple[Any, ...]] = Counter()
    volumes: dict[int, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: frame.number):
        position = (frame.orientation, frame.distance)
        volumes[repeats[position]].append(frame)
        repeats[position] += 1
    return [sorted(volume, key=lambda frame: frame.distance) for volume in volumes.values()]


def _regular_spacing(frames: list[Frame]) -> tuple[float, float, float] | None:
    """Return the spacing [mm] along z, y and x if the frames lie evenly in one volume."""
    kinds = {(frame.orientation, frame.spacing, frame.pixels.shape) for frame in frames}
    steps = np.diff([frame.distance for frame in frames])
    if len(kinds) > 1 or not frames[0].orientation or len(frames) < 2:
        return None
    if np.ptp(steps) > SPACING_TOLERANCE * steps.mean():
        return None
    return (float(steps.mean()), *frames[0].spacing)
