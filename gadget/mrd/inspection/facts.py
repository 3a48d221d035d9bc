"""Models of what is found in a raw data file; the JSON of `score-gadget inspect`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Base of all facts; x, y, z and kx, ky, kz are in that order."""

    model_config = ConfigDict(frozen=True)


class SpaceFacts(Facts):
    """An encoded or reconstructed space."""

    matrix: tuple[int, int, int]
    field_of_view_mm: tuple[float, float, float]


class SamplingFacts(Facts):
    """The sampling pattern of the lines."""

    lines: tuple[int, int]
    """Of the image with the fewest and of the one with the most."""
    grid_lines: int
    acceleration: float
    """Points of the grid per measured point, of the first image."""
    pattern: Literal["complete", "uniform", "irregular"]
    step: tuple[int, int] | None
    """Every so many lines along ky and kz are measured, if they are at equal distances."""
    centre: tuple[int, int]
    """Lines along ky and kz that are measured completely around the centre."""
    partial_fourier: tuple[float, float]
    """Partial Fourier factors of ky and kz."""
    alike: bool
    """Whether all images have the same lines."""


class EncodingFacts(Facts):
    """An encoding space and the readouts that belong to it."""

    encoding: int
    trajectory: str
    encoded: SpaceFacts
    recon: SpaceFacts
    limits: dict[str, tuple[int, int, int]]
    """First, last and central value of each counter, as the header declares them."""
    declared_acceleration: tuple[int, int]
    calibration_mode: str | None
    image_readouts: int
    calibration_readouts: int
    """For calibration alone."""
    shared_readouts: int
    """For calibration and image."""
    reversed_readouts: int
    counters: dict[str, int]
    """Different values of slice, repetition, contrast, ... among the readouts."""
    coils: list[int]
    samples: list[int]
    dwell_us: list[float]
    readout_oversampling: float
    echo: float
    """Partial Fourier factor of kx: 1 for a symmetric echo."""
    sampling: SamplingFacts | None
    """Nothing where no image comes of the readouts."""


class NoiseFacts(Facts):
    """The noise scan."""

    readouts: int
    coils: list[int]
    samples: list[int]
    dwell_us: list[float]


class SeriesFacts(Facts):
    """A series of images that a pipeline makes."""

    series: int
    images: int
    matrix: tuple[int, int, int]
    field_of_view_mm: tuple[float, float, float]


class PipelineFacts(Facts):
    """The images that the nodes of this package make of the file."""

    images: int
    series: list[SeriesFacts]
    kspace_bytes: int
    """Memory for the k-space of the largest image."""
    problem: str | None
    """Why not everything is reconstructed."""


class FileFacts(Facts):
    """All that is known of a file, without patient data."""

    path: str
    format: str
    group: str
    file_bytes: int
    vendor: str | None
    model: str | None
    field_strength_t: float | None
    h1_frequency_mhz: float | None
    protocol: str | None
    series_description: str | None
    measurement_id: str | None
    patient_position: str | None
    readouts: int
    kinds: dict[str, int]
    """Number of readouts by type: image, calibration, noise, navigation, ..."""
    waveforms: int
    noise: NoiseFacts | None
    encodings: list[EncodingFacts]
    pipeline: PipelineFacts
    oddities: list[str]
    """Warnings about unusual or inconsistent data, as sentences."""
