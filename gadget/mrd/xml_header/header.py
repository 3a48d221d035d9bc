"""The part of the ISMRMRD XML header that a reconstruction needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gadget.errors import DataError
from gadget.mrd.xml_header.limits import Limit

CARTESIAN = "cartesian"


@dataclass(frozen=True)
class Space:
    """Matrix and field of view of an encoded or a reconstructed space, in the order x, y, z."""

    matrix: tuple[int, int, int]
    field_of_view_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Encoding:
    """One encoding space of the measurement."""

    encoded: Space
    recon: Space
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """By the schema's names: `kspace_encoding_step_1`, `slice`, `average`, ..."""
    trajectory: str = CARTESIAN
    acceleration: tuple[int, int] = (1, 1)
    """Along ky and kz."""
    calibration_mode: str | None = None
    echo_planar: bool = False
    """Whether readouts begin and end on gradient ramps, in turn forwards and backwards."""
    partitions_as_slices: bool = False
    """Whether the partitions of a volume are counted as slices."""

    @property
    def merges_calibration(self) -> bool:
        """Whether calibration lines are image lines too: they have the image's contrast."""
        return self.embedded or self.interleaved

    @property
    def embedded(self) -> bool:
        """Whether an image measures calibration lines among its own."""
        return self.calibration_mode == "embedded"

    @property
    def interleaved(self) -> bool:
        """Whether images measure lines in turn, all of which together calibrate each (TGRAPPA).

        Breuer et al., Dynamic autocalibrated parallel imaging using temporal GRAPPA, Magn Reson
        Med 2005, doi:10.1002/mrm.20430.
        """
        return self.calibration_mode == "interleaved"

    @property
    def recon_readout(self) -> int:
        """Samples of a readout whose oversampling has been removed."""
        return max(1, round(self._cropped_size))

    @property
    def cropped_readout(self) -> int:
        """Samples of a readout whose oversampling Gadgetron has removed."""
        return max(1, int(self._cropped_size))

    def require_cartesian(self, index: int) -> None:
        """Raise `DataError` if the encoding, which has that number, is not Cartesian."""
        if self.trajectory != CARTESIAN:
            raise DataError(
                f"Encoding {index} has the trajectory '{self.trajectory}', and only 'cartesian' "
                "can be reconstructed. Grid the data and declare them so, or use another pipeline."
            )

    @property
    def _cropped_size(self) -> float:
        encoded, recon = self.encoded.field_of_view_mm[0], self.recon.field_of_view_mm[0]
        size = self.encoded.matrix[0]
        return size * recon / encoded if 0 < recon < encoded else size


@dataclass(frozen=True)
class Header:
    """The part of the XML header that a reconstruction needs, without patient data."""

    encodings: tuple[Encoding, ...]
    relative_noise_bandwidth: float | None = None
    receiver_channels: int | None = None
    protocol_name: str | None = None
    series_description: str | None = None
    measurement_id: str | None = None
    echo_times_ms: tuple[float, ...] = ()
    inversion_times_ms: tuple[float, ...] = ()

    def encoding(self, index: int) -> Encoding:
        """Return the encoding space with that `encoding_space_ref`.

        Raises
        ------
        DataError
            The header has no such encoding space, or it is not Cartesian.
        """
        if not 0 <= index < len(self.encodings):
            raise DataError(
                f"A readout names encoding space {index}, but the header describes "
                f"{len(self.encodings)}. Check encoding_space_ref of the readouts."
            )
        encoding = self.encodings[index]
        encoding.require_cartesian(index)
        return encoding
