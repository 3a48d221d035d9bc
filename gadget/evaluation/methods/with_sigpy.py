"""SENSE, L1-wavelet and total variation of sigpy, with ESPIRiT maps from the data.

Ong and Lustig, SigPy: a Python package for high performance iterative reconstruction, ISMRM 2019;
Uecker et al., ESPIRiT, Magn Reson Med 2014, doi:10.1002/mrm.24751.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.evaluation.methods.method import (
    KERNELS,
    REGULARISATION,
    CoilMaps,
    Estimate,
    calibration_width,
    covers_object,
)
from gadget.extras import optional_import
from gadget.mri.kspace import KSpace

REGION = 24
"""Largest width of the calibration region [points]."""

FISTA = {"max_iter": 100}
# The solver that is the default for total variation needs a thousand iterations.
ADMM = {"solver": "ADMM", "rho": 0.03, "max_iter": 50, "max_cg_iter": 5}
APPS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sense": ("SenseRecon", "SENSE (sigpy)", {"max_iter": 100}),
    "l1wavelet": ("L1WaveletRecon", "L1-wavelet (sigpy)", FISTA),
    "tv": ("TotalVariationRecon", "TV (sigpy)", ADMM),
}
"""Class, label and solver of each."""


class SigpyMaps(CoilMaps):
    """ESPIRiT maps.

    The calibration region is the fully measured centre. Where that is smaller than the kernel the
    central 24 x 24 points have to do, measured or not.
    """

    def _calibrate(self, kspace: KSpace) -> NDArray[np.complex64]:
        from sigpy.mri.app import EspiritCalib

        centre = calibration_width(kspace)
        width = min(centre, REGION) if centre > max(KERNELS) else REGION
        for kernel in KERNELS:
            calibration = EspiritCalib(
                kspace.data[:, 0], width, kernel_width=kernel, show_pbar=False
            )
            maps: NDArray[np.complex64] = calibration.run()
            if covers_object(maps, kspace):
                break
        return maps


class Sigpy:
    """One of sigpy's reconstructions, by its name in `APPS`.

    Raises
    ------
    ConfigError
        sigpy is not installed.
    """

    def __init__(self, app: str, maps: SigpyMaps) -> None:
        with optional_import("The methods of sigpy need", "evaluate"):
            from sigpy.mri import app as apps
        name, self.label, self._solver = APPS[app]
        self.name = f"sigpy-{app}"
        self._app: Any = getattr(apps, name)
        self._maps = maps

    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        """Yield an image for each regularisation."""
        maps, calibration = self._maps.of(kspace)
        data = kspace.data[:, 0]
        scale = _intensity_scale(data, maps)
        for weight in REGULARISATION:
            started = time.monotonic()
            app = self._app(data / scale, maps, weight, show_pbar=False, **self._solver)
            # Where it diverges, the image that is not finite says so.
            with np.errstate(over="ignore", invalid="ignore"):
                image = np.abs(app.run()) * scale
            seconds = calibration + time.monotonic() - started
            yield Estimate(image.astype(np.float32), seconds, f"{weight:g}")


def _intensity_scale(data: NDArray[np.complex64], maps: NDArray[np.complex64]) -> np.float32:
    """Return the approximate intensity of bright pixels, the unit of the regularisation."""
    from sigpy.mri.app import SenseRecon

    rough = np.abs(SenseRecon(data, maps, lamda=0.01, max_iter=10, show_pbar=False).run())
    return np.float32(max(np.percentile(rough, 99), 1e-30))
