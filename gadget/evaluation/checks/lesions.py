"""Lesion check: contrast recovered, missed and invented lesions under acceleration.

Lesions are inserted into a fully sampled slice. Every acceleration is reconstructed twice, with
and without them, from the same lines and the same noise: the difference is the
method's response to the lesions alone. At sites without a lesion, the error shows what a reader
would take for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from gadget.evaluation.cases import Case
from gadget.evaluation.experiment import first_image
from gadget.evaluation.methods.method import Method
from gadget.evaluation.summary import MeanStd, mean_std
from gadget.evaluation.uncertainty import foreground
from gadget.mri.sampling.patterns import Pattern, parse_pattern

DIAMETERS = (3, 5, 9)
"""[pixels]"""
CONTRASTS = (0.15, 0.4)
"""Brightness added, relative to the tissue."""
ACCELERATIONS = (2, 4, 6, 8)
CENTRE = 0.32
"""Share of complete lines in the centre times the acceleration: 8% at 4, 4% at 8."""
RING = (1.5, 4.5)
"""Ring around a lesion that is its background: distance from its edge, from and to [pixels]."""
SPACING = 20
"""Smallest distance of two sites [pixels]."""
MAX_SITES = 96
"""Most sites with and without a lesion in a slice."""
VISIBLE_SHARE = 0.5
"""Share of a lesion's contrast above which it counts as visible."""

Image = NDArray[np.floating]


@dataclass(frozen=True)
class LesionSite:
    """A site in an image `[y, x]` with an inserted lesion, or an empty one as a control."""

    y: int
    x: int
    diameter: int
    contrast: float
    """0 at an empty site."""

    def shape(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return the lesion's share of every pixel."""
        return np.clip(self.diameter / 2 - self._radius(size) + 0.5, 0, 1).astype(np.float32)

    def contrast_in(self, image: Image, tissue: Image) -> float:
        """Return the contrast of the lesion that would brighten `tissue` as much as `image` does.

        An image of nothing but a lesion, or of a change, gives its contrast.
        """
        size = (image.shape[0], image.shape[1])
        beyond = self._radius(size) - self.diameter / 2
        disk, ring = beyond <= 0, (beyond >= RING[0]) & (beyond <= RING[1])

        def step(values: Image) -> float:
            return float(values[disk].mean() - values[ring].mean())

        return step(image) / step(tissue * self.shape(size))

    def _radius(self, size: tuple[int, int]) -> NDArray[np.float64]:
        y, x = np.ogrid[: size[0], : size[1]]
        return np.hypot(y - self.y, x - self.x)


@dataclass(frozen=True)
class LesionRecord:
    """Result of one method at one site: a line of the CSV file."""

    file: str
    slice: int
    acceleration: float
    method: str
    y: int
    x: int
    diameter: int
    contrast: float
    """0 at an empty site."""
    recovered: float | None
    """Share of the inserted contrast in the difference of both reconstructions."""
    apparent: float
    """Contrast that the reconstruction (with the lesions) has here beyond the truth without."""


@dataclass(frozen=True)
class LesionPair:
    """Two reconstructions by one method, with and without lesions, cropped like the truth."""

    case: Case
    """Without lesions."""
    acceleration: float
    method: Method
    truth: Image
    """With lesions."""
    image: Image
    image_without: Image


def lesion_patterns() -> list[Pattern]:
    """Return the patterns of the check: 1D random, of rising acceleration."""
    return [parse_pattern(f"random1d:{r}:{CENTRE / r:.3g}") for r in ACCELERATIONS]


def lesion_pairs(
    case: Case, methods: Sequence[Method], seed: int
) -> Iterator[tuple[LesionPair, list[LesionRecord]]]:
    """Yield both reconstructions for each acceleration and method, and a record for each site."""
    sites = choose_sites(case.truth, case.rng(seed, "lesions"))
    shown = (case.truth.shape[0], case.truth.shape[1])
    change = np.zeros(case.measured.shape, np.float32)
    case.crop(change)[...] = sum(
        (site.contrast * site.shape(shown) for site in sites),
        start=np.zeros(shown, np.float32),
    )
    with_lesions = case.brightened(change)
    for pattern, acceleration in zip(lesion_patterns(), ACCELERATIONS, strict=True):
        for method in methods:
            found = [
                first_image(one.title, method, one.undersampled(pattern, seed))
                for one in (with_lesions, case)
            ]
            image, without = (case.crop(one) if one is not None else None for one in found)
            if image is None or without is None:
                continue
            pair = LesionPair(case, acceleration, method, with_lesions.truth, image, without)
            yield pair, [_record(pair, site) for site in sites]


def choose_sites(truth: Image, rng: np.random.Generator) -> list[LesionSite]:
    """Choose sites well inside the object: a lesion in every other one, of each kind in turn.

    The sites between stay empty, and lesions of every size are evaluated there.
    """
    room = np.asarray(distance_transform_edt(foreground(truth)))
    candidates = np.argwhere(room > max(DIAMETERS) / 2 + RING[1])
    positions: list[NDArray[np.int64]] = []
    while len(candidates) and len(positions) < MAX_SITES:
        positions.append(candidates[rng.integers(len(candidates))])
        candidates = candidates[np.hypot(*(candidates - positions[-1]).T) >= SPACING]
    kinds = cycle(product(CONTRASTS, DIAMETERS))
    inserted = [
        LesionSite(y, x, size, contrast)
        for (y, x), (contrast, size) in zip(positions[::2], kinds, strict=False)
    ]
    empty = [LesionSite(y, x, size, 0.0) for y, x in positions[1::2] for size in DIAMETERS]
    return inserted + empty


def _record(pair: LesionPair, site: LesionSite) -> LesionRecord:
    tissue = pair.case.truth
    recovered = None
    if site.contrast:
        recovered = site.contrast_in(pair.image - pair.image_without, tissue) / site.contrast
    return LesionRecord(
        file=pair.case.name,
        slice=pair.case.number,
        acceleration=pair.acceleration,
        method=pair.method.name,
        **asdict(site),
        recovered=recovered,
        apparent=site.contrast_in(pair.image - tissue, tissue),
    )


@dataclass(frozen=True)
class LesionRow:
    """Result of one method for one kind of lesion at one acceleration."""

    method: str
    acceleration: float
    diameter: int
    contrast: float
    recovered: MeanStd
    missed: float
    """Share of lesions that show less than half their contrast."""
    invented: float
    """Share of empty sites that look at least half as bright, or dark, as such a lesion."""


def lesion_rows(records: Sequence[LesionRecord]) -> list[LesionRow]:
    """Aggregate the records of a check."""
    groups: dict[tuple[str, float, int, float], list[LesionRecord]] = defaultdict(list)
    for one in records:
        groups[one.method, one.acceleration, one.diameter, one.contrast].append(one)
    rows = []
    for (method, acceleration, diameter, contrast), inserted in groups.items():
        empty = groups.get((method, acceleration, diameter, 0.0))
        recovered = mean_std(inserted, "recovered")
        if recovered is None or not empty:
            continue
        threshold = VISIBLE_SHARE * contrast
        rows.append(
            LesionRow(
                method=method,
                acceleration=acceleration,
                diameter=diameter,
                contrast=contrast,
                recovered=recovered,
                missed=float(np.mean([one.apparent < threshold for one in inserted])),
                invented=float(np.mean([abs(one.apparent) >= threshold for one in empty])),
            )
        )
    return rows
