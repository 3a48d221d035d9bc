"""Statistics of the headers of all readouts, block by block."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

from gadget.mrd.readouts import flags
from gadget.mrd.readouts.placement import readout_center

COUNTERS = ("slice", "repetition", "contrast", "phase", "set", "average", "segment")
LINES = ("kspace_encode_step_1", "kspace_encode_step_2")
KINDS = {
    "noise": flags.NOISE,
    "navigation": flags.NAVIGATION,
    "phase correction": flags.PHASE_CORRECTION,
    "dummy": flags.DUMMY,
    "surface coil correction": flags.COIL_CORRECTION,
}
"""Flags of readouts that are no image or calibration lines, by type."""
HEADER_NAMES = {
    "kspace_encode_step_1": "kspace_encoding_step_1",
    "kspace_encode_step_2": "kspace_encoding_step_2",
}
"""Names of the line counters in the XML header."""


class ReadoutStatistics:
    """Statistics of the readouts of one encoding space, or of the noise scan."""

    def __init__(self) -> None:
        self.image = self.calibration = self.shared = self.reversed = 0
        self.values: dict[str, set[int]] = defaultdict(set)
        self.dwell_us: set[float] = set()
        self.echoes: set[tuple[int, int, int, int]] = set()
        """Number of samples, centre, samples to be discarded before and after."""

    @property
    def readouts(self) -> int:
        """Number of readouts."""
        return self.image + self.calibration

    def add(self, heads: NDArray[np.void]) -> None:
        """Add readouts by their headers."""
        bits = heads["flags"]
        calibration_only = flags.calibration_only(bits)
        self.calibration += int(calibration_only.sum())
        self.image += int((~calibration_only).sum())
        self.shared += int((bits & flags.CALIBRATION_AND_IMAGING > 0).sum())
        self.reversed += int((bits & flags.REVERSE > 0).sum())
        for name in (*COUNTERS, *LINES):
            self.values[name].update(np.unique(heads["idx"][name]).tolist())
        for name in ("active_channels", "number_of_samples"):
            self.values[name].update(np.unique(heads[name]).tolist())
        self.dwell_us.update(np.unique(heads["sample_time_us"]).round(3).tolist())
        names = ("number_of_samples", "center_sample", "discard_pre", "discard_post")
        echoes = np.stack([heads[name] for name in names], axis=1)
        self.echoes.update(tuple(echo) for echo in np.unique(echoes, axis=0).tolist())

    @property
    def echo(self) -> float:
        """Partial Fourier factor of kx of the least complete readout."""
        return min((_partial_echo(*one) for one in self.echoes), default=1.0)


class Survey:
    """Statistics of all readouts of a file.

    Parameters
    ----------
    coil_correction
        Whether readouts that are flagged for coil correction count as image lines.
    """

    def __init__(self, *, coil_correction: bool = False) -> None:
        ignored = flags.COIL_CORRECTION if coil_correction else 0
        self._kinds = {name: mask & ~ignored for name, mask in KINDS.items()}
        self.readouts = self.not_finite = self.empty = 0
        self.kinds: Counter[str] = Counter()
        self.noise = ReadoutStatistics()
        self.encodings: dict[int, ReadoutStatistics] = defaultdict(ReadoutStatistics)
        self.ended = False
        """Whether any readout has a LAST_IN_* flag."""

    def add(
        self, heads: NDArray[np.void], finite: NDArray[np.bool_], empty: NDArray[np.bool_]
    ) -> None:
        """Add readouts.

        Parameters
        ----------
        heads
            Their headers.
        finite
            Whether all samples are finite.
        empty
            Whether all samples are zero.
        """
        bits = heads["flags"]
        self.readouts += len(heads)
        line = np.ones(len(heads), bool)
        for name, mask in self._kinds.items():
            here = line & (bits & mask > 0)
            self.kinds[name] += int(here.sum())
            line &= ~here
            if name == "noise" and here.any():
                self.noise.add(heads[here])
        calibration_only = flags.calibration_only(bits)
        self.kinds["calibration"] += int((line & calibration_only).sum())
        self.kinds["image"] += int((line & ~calibration_only).sum())
        self.not_finite += int((line & ~finite).sum())
        self.empty += int((line & empty).sum())
        self.ended |= bool((bits[line] & flags.LAST_IN_BUFFER).any())
        for encoding in np.unique(heads["encoding_space_ref"][line]).tolist():
            self.encodings[encoding].add(heads[line & (heads["encoding_space_ref"] == encoding)])


def _partial_echo(samples: int, center: int, before: int, after: int) -> float:
    center = readout_center(samples, center)
    left, right = center - before, samples - after - center
    longest = max(left, right)
    return (left + right) / (2 * longest) if longest > 0 else 1.0
