"""Images as DICOM files: MR Image Storage, one file a slice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gadget import __version__
from gadget.errors import DataError, reason
from gadget.extras import optional_import
from gadget.files import safe_write
from gadget.mrd.export.dicom_attributes import Attributes, ScanAttributes, make_uid
from gadget.mrd.export.dicom_pixels import pixel_attributes, series_scale
from gadget.mrd.export.dicom_values import clean
from gadget.mrd.export.stacks import stacks
from gadget.mrd.export.writers import (
    DISCLAIMER,
    ExportedImage,
    SeriesWriter,
    remove_stale,
    volume_numbers,
)
from gadget.mrd.images.geometry import Geometry
from gadget.mrd.images.meta import meta_values

if TYPE_CHECKING:
    from pydicom import Dataset

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Slice:
    """The slice of an image that one file holds."""

    image: ExportedImage
    z: int
    """Plane of the image."""
    volume: int
    spacing: float | None
    """Distance to the next slice of its volume [mm]; nothing for a single slice."""


class DicomWriter(SeriesWriter):
    """Writes `<stem>_series_<series>/image_<number>.dcm` when it is closed.

    Files of these names that were in the folder of the series before are removed.
    The series number in them is <series> + 1: other software takes 0 for none, and invents one.
    Complex pixels become magnitudes, several coils their root sum of squares. All files of a series
    share one scale from stored numbers to pixels, except uint16 images, which keep their own.
    Identifiers are made of the measurement and the pixels: the same images give the same files,
    byte for byte. Parameters are those of `SeriesWriter`.

    Raises
    ------
    ConfigError
        The folder cannot be made, or pydicom is missing.
    DataError
        The header is not one.
    """

    def __init__(self, folder: Path, stem: str = "", header_xml: bytes | None = None) -> None:
        with optional_import("DICOM files need", "dicom"):
            import pydicom
        self._pydicom = pydicom
        self._scan = ScanAttributes(header_xml)
        super().__init__(folder, stem, header_xml)
        self._content = ""

    def close(self) -> None:
        """Write all series.

        Raises
        ------
        DataError
            Files cannot be written.
        """
        self._content = _digest([image for images in self._series.values() for image in images])
        super().close()

    def _write_series(self, series: int, images: list[ExportedImage]) -> None:
        folder = self.folder / self.name(series)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"'{folder}' cannot be made: {reason(error)}.") from error
        scale = series_scale(images)
        shared = self._scan.shared(self._content)
        shared["SeriesInstanceUID"] = make_uid(
            "series", shared["StudyInstanceUID"], str(series), _digest(images)
        )
        shared["SeriesNumber"] = series + 1
        written: set[Path] = set()
        for number, one in enumerate(_slices(images), start=1):
            attributes = shared | self._attributes(one, number)
            attributes["SOPInstanceUID"] = make_uid(shared["SeriesInstanceUID"], str(number))
            attributes |= pixel_attributes(one.image, one.z, scale)
            path = folder / f"image_{number:04d}.dcm"
            with safe_write(path, DataError) as part:
                self._dataset(attributes).save_as(part, enforce_file_format=True)
            written.add(path)
        remove_stale(written, "image_*.dcm")

    def _attributes(self, one: Slice, number: int) -> Attributes:
        image = one.image
        found = meta_values(image.meta, "ImageComments", "ImageComment", "GADGETRON_ImageComment")
        comments = clean("; ".join(found), 10_000)  # leaves room for the disclaimer
        spacing = {} if one.spacing is None else {"SpacingBetweenSlices": one.spacing}
        return {
            **spacing,
            **self._scan.of_image(image.header, image.meta),
            **_plane(image.geometry, one.z),
            "SpecificCharacterSet": "ISO_IR 192",
            "SOPClassUID": MR_IMAGE,
            "Modality": "MR",
            "InstanceNumber": number,
            "AcquisitionNumber": one.volume + 1,
            "Laterality": "",
            "PositionReferenceIndicator": "",
            "SoftwareVersions": f"score-gadget {__version__}",
            "SeriesDescription": self._scan.series_description(image.meta),
            "ImageComments": "; ".join(filter(None, [comments, DISCLAIMER])),
            "DerivationDescription": f"Reconstructed from raw data; {DISCLAIMER}",
        }

    def _dataset(self, attributes: Attributes) -> Dataset:
        uid, short = self._pydicom.uid.UID, self._pydicom.valuerep.format_number_as_ds
        dataset = self._pydicom.Dataset()
        dataset.file_meta = meta = self._pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = uid(MR_IMAGE)
        meta.MediaStorageSOPInstanceUID = uid(attributes["SOPInstanceUID"])
        meta.TransferSyntaxUID = uid(EXPLICIT_LITTLE_ENDIAN)
        meta.ImplementationClassUID = uid(make_uid("implementation"))
        meta.ImplementationVersionName = "SCORE-GADGET"
        for keyword, value in attributes.items():
            if self._pydicom.datadict.dictionary_VR(keyword) == "DS" and value not in (None, ""):
                # Numbers are written as texts of at most 16 characters.
                texts = [short(float(part)) for part in np.atleast_1d(value)]
                value = texts if np.ndim(value) else texts[0]
            setattr(dataset, keyword, value)
        return dataset


def _slices(images: Sequence[ExportedImage]) -> list[Slice]:
    """Return the planes of all images, ordered by volume, then along the slice direction."""
    found = []
    for group, stack in enumerate(stacks([image.geometry for image in images])):
        volumes = volume_numbers(images, stack)
        several = stack.geometry.shape[2] > 1
        spacing = float(stack.geometry.spacing[2]) if several else None
        for place, members in enumerate(stack.members):
            for number in members:
                for z in range(images[number].geometry.shape[2]):
                    one = Slice(images[number], z, volumes[number], spacing)
                    found.append(((group, volumes[number], place, z), one))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _plane(geometry: Geometry, z: int) -> Attributes:
    first, (row, column, _) = geometry.plane_origin(z), geometry.directions
    return {
        "ImagePositionPatient": first.tolist(),
        "ImageOrientationPatient": [*row.tolist(), *column.tolist()],
        "PixelSpacing": [float(geometry.spacing[1]), float(geometry.spacing[0])],
        "SliceThickness": float(geometry.spacing[2]),
        "SliceLocation": float(first @ np.cross(row, column)),
    }


def _digest(images: Sequence[ExportedImage]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(bytes(image.header))
        digest.update(np.ascontiguousarray(image.pixels).tobytes())
    return digest.hexdigest()
