"""L1-wavelet and total variation of BART, where its command `bart` is installed.

BART Toolbox for Computational Magnetic Resonance Imaging, doi:10.5281/zenodo.592960.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError, ReconError
from gadget.evaluation.methods.method import (
    KERNELS,
    REGULARISATION,
    CoilMaps,
    Estimate,
    calibration_width,
    covers_object,
)
from gadget.mri.kspace import KSpace

PENALTIES = {
    "l1wavelet": ("W", "L1-wavelet (BART)", ["-i100"]),
    # With the default rho, ADMM is far from its end after so many iterations.
    "tv": ("T", "TV (BART)", ["-i300", "-u0.1"]),
}
"""Letter of ``pics -R``, label, and options of the solver."""
NEWTON_STEPS = 10
DIMENSIONS = 16


class BartMaps(CoilMaps):
    """ESPIRiT maps, or those of nonlinear inversion where the complete centre is too small for it.

    Uecker et al., Magn Reson Med 2008, doi:10.1002/mrm.21691.
    """

    def __init__(self) -> None:
        super().__init__()
        found = shutil.which("bart")
        if found is None:
            raise ConfigError(
                "BART's methods need its command 'bart' on the PATH: https://mrirecon.github.io."
            )
        self.program = found

    def _calibrate(self, kspace: KSpace) -> NDArray[np.complex64]:
        with tempfile.TemporaryDirectory() as folder:
            return self._calibrate_in(Path(folder), kspace)

    def _calibrate_in(self, folder: Path, kspace: KSpace) -> NDArray[np.complex64]:
        write_cfl(folder / "kspace", kspace.data[:, 0])
        if calibration_width(kspace) > max(KERNELS):
            for kernel in KERNELS:
                self.run(folder, "ecalib", "-m1", f"-k{kernel}", "kspace", "maps")
                maps = read_cfl(folder / "maps")
                if covers_object(maps, kspace):
                    return maps
        self.run(folder, "nlinv", f"-i{NEWTON_STEPS}", "kspace", "image", "maps")
        maps = read_cfl(folder / "maps")
        power = np.sqrt((np.abs(maps) ** 2).sum(0))
        return maps / np.maximum(power, 1e-6 * power.max())

    def run(self, folder: Path, *arguments: str) -> None:
        """Run one of BART's tools in a folder.

        Raises
        ------
        ReconError
            The tool failed.
        """
        done = subprocess.run(
            [self.program, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ReconError(f"'bart {' '.join(arguments)}' failed: {done.stderr.strip()[-300:]}")


class Bart:
    """One of the penalties of BART's ``pics``, by its name in `PENALTIES`."""

    def __init__(self, penalty: str, maps: BartMaps) -> None:
        self._letter, self.label, self._solver = PENALTIES[penalty]
        self.name = f"bart-{penalty}"
        self._maps = maps

    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        """Yield an image for each regularisation."""
        maps, calibration = self._maps.of(kspace)
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            write_cfl(here / "kspace", kspace.data[:, 0])
            write_cfl(here / "maps", maps)
            for weight in REGULARISATION:
                started = time.monotonic()
                # BART scales the data itself; -S scales the image back.
                options = ["-S", *self._solver, "-R", f"{self._letter}:3:0:{weight:g}"]
                self._maps.run(here, "pics", *options, "kspace", "maps", "image")
                seconds = calibration + time.monotonic() - started
                image = np.abs(read_cfl(here / "image")[0]).astype(np.float32)
                yield Estimate(image, seconds, f"{weight:g}")


def write_cfl(path: Path, array: NDArray[np.complex64]) -> None:
    """Write `[coil, y, x]` as BART's pair of files, with its axes x, y, z, coil."""
    coils, ny, nx = array.shape
    sizes = [nx, ny, 1, coils] + [1] * (DIMENSIONS - 4)
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")
    array.astype("<c8").tofile(path.with_suffix(".cfl"))


def read_cfl(path: Path) -> NDArray[np.complex64]:
    """Read BART's pair of files as `[coil, y, x]`."""
    nx, ny, _, coils = map(int, path.with_suffix(".hdr").read_text().split("\n")[1].split()[:4])
    return np.fromfile(path.with_suffix(".cfl"), "<c8").reshape(coils, ny, nx)
