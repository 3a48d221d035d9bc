"""Published results of the method's authors, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Figures of one setting in Chung and Ye, Medical Image Analysis 80 (2022) 102479."""

    setting: str
    psnr: Mapping[str, str]
    """By method [dB]."""
    pattern: tuple[str, float] | None = None
    """Kind and acceleration of our pattern that corresponds to it, None where none does."""


PUBLISHED = (
    Published(
        "multi-coil, 1D Gaussian, R = 4",
        {"TV": "30.55", "U-Net": "32.66", "E2E-VarNet": "33.15", "score-based": "34.25"},
        ("gaussian1d", 4),
    ),
    Published(
        "multi-coil, 2D Gaussian, R = 8",
        {"TV": "29.20", "U-Net": "24.51", "E2E-VarNet": "20.97", "score-based": "31.43"},
        ("gaussian2d", 8),
    ),
    Published(
        "multi-coil, Poisson disk, R = 8",
        {"TV": "29.52", "U-Net": "20.89", "E2E-VarNet": "20.70", "score-based": "31.98"},
        ("poisson2d", 8),
    ),
    Published("single coil, 1D, R = 4", {"DuDoRNet": "33.46", "score-based": "33.96"}),
    Published("single coil, 2D Gaussian, R = 8", {"score-based": "29.45"}),
    Published("single coil, Poisson disk, R = 15", {"score-based": "30.66"}),
)
METHODS = ("TV", "U-Net", "E2E-VarNet", "DuDoRNet", "score-based")


def published_for(pattern: str) -> Published | None:
    """Return the figures for a pattern, given by its name; the centre may be another one."""
    if pattern.lower().endswith(".npy"):
        return None
    kind, acceleration, *_ = pattern.split(":")
    here = kind, float(acceleration)
    return next((one for one in PUBLISHED if one.pattern == here), None)
