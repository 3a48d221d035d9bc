"""Which readouts are of images or calibration lines, as a scan goes on."""

from __future__ import annotations

from gadget.mrd.readouts import flags


class ImageLines:
    """Tells image and calibration lines from other readouts, one after another.

    Those that are flagged for coil correction are image lines as long as all image lines are.
    """

    def __init__(self) -> None:
        self._flagged: bool | None = None
        """Whether readouts that are flagged for coil correction came, and are image data so far;
        False since an image line came that is not flagged."""

    @property
    def ends(self) -> int:
        """Flags that end an image."""
        # Slices of a scan for coil correction end as well, before those of the image begin.
        return flags.LAST_IN_MEASUREMENT if self._flagged else flags.LAST_IN_BUFFER

    def note(self, bits: int) -> bool:
        """Note a readout by its flags; return whether no line before it was of an image."""
        if bits & flags.NOT_IMAGE:
            return False
        if bits & flags.COIL_CORRECTION:
            self._flagged = self._flagged is not False
            return False
        if flags.calibration_only(bits):
            return False
        replaces, self._flagged = self._flagged is True, False
        return replaces

    def is_image_data(self, bits: int) -> bool:
        """Whether a readout that was noted is an image or calibration line."""
        if bits & flags.NOT_IMAGE:
            return False
        return not bits & flags.COIL_CORRECTION or bool(self._flagged)
