"""Voxel grid of an image in patient coordinates.

Coordinates are LPS, as in ISMRMRD and DICOM: x to the left, y to posterior, z to the head [mm];
NIfTI's are RAS.

ISMRMRD's `position` is the centre of the excited volume. An inverse Fourier transform puts it at
voxel ``n // 2`` of each axis, the origin of the transform, and cropping and interpolation keep it
there. For even sizes that is half a voxel beyond the middle of the field of view, as Gadgetron's
`DicomFinishGadget` has it; for odd sizes it is the voxel in the middle.

Siemens gives the directions for a forward transform from k-space to the image. Gadgetron, and this
package with it, uses the inverse one, after which the axes of the image run against `read_dir`,
`phase_dir` and, in a volume, `slice_dir`. Sources: pull request 833 of PTB-MR/mrpro;
`GadgetronImagesVector::set_up_geom_info` of SyneRBI/SIRF; python-ismrmrd-server, which turns the
k-space around "to be consistent with ICE", so that its own images need no flip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.xml_header.elements import header_root, text

Vector = NDArray[np.float64]

MAX_SKEW = 0.01
"""Largest cosine of the angle between two axes that count as perpendicular."""


@dataclass(frozen=True)
class Geometry:
    """Voxel grid of an image in patient coordinates."""

    shape: tuple[int, int, int]
    """Voxels along x, y and z of the image."""
    spacing: Vector
    """Distances of voxel centres along x, y and z of the image [mm]."""
    directions: Vector
    """Unit vectors along x, y and z of the image, as rows."""
    origin: Vector
    """Centre of the voxel at index 0 of every axis [mm]."""
    located: bool = True
    """Whether the image header has all that; if not, axes are the patient's, slices lie side by
    side, and voxels are 1 mm."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """The matrix `[4, 4]` that maps indices (x, y, z, 1) to patient coordinates."""
        matrix = np.eye(4)
        matrix[:3, :3] = (self.directions * self.spacing[:, None]).T
        matrix[:3, 3] = self.origin
        return matrix

    def plane_origin(self, z: int) -> Vector:
        """Return the centre of the first voxel of a plane."""
        return np.asarray(self.origin + z * self.spacing[2] * self.directions[2])


def axis_sign(header_xml: bytes | None) -> int:
    """Return the sign of the image axes relative to the directions in the headers.

    Raises
    ------
    DataError
        The text is not an ISMRMRD header.
    """
    if header_xml is None:
        return 1
    vendor = text(header_root(header_xml), "acquisitionSystemInformation", "systemVendor") or ""
    return -1 if "siemens" in vendor.lower() else 1


def geometry_of(
    header: ismrmrd.ImageHeader, meta: Mapping[str, Any] | None = None, sign: int = 1
) -> Geometry:
    """Return the voxel grid of an image.

    Parameters
    ----------
    header
        Header of the image.
    meta
        Its metadata: `ImageRowDir` and `ImageColumnDir` differ from the header where pixels were
        rotated or flipped after the reconstruction.
    sign
        What `axis_sign` returns for the scanner.

    Raises
    ------
    DataError
        Rows and columns are not perpendicular.
    """
    nx, ny, nz = (max(1, int(size)) for size in header.matrix_size)
    lengths = np.array(header.field_of_view, np.float64)
    lengths[~np.isfinite(lengths)] = 0
    measured = [
        _unit_vector(getattr(header, name)) for name in ("read_dir", "phase_dir", "slice_dir")
    ]
    row = _direction(meta, "ImageRowDir", measured[0])
    column = _direction(meta, "ImageColumnDir", measured[1])
    position = np.array(header.position, np.float64)
    placed = row is not None and column is not None and bool(np.isfinite(position).all())
    located = placed and bool((lengths > 0).all())
    if row is None or column is None:
        row, column, measured = np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), [None] * 3
        sign = 1
    directions = _axes(sign * row, sign * column, measured[2], sign if nz > 1 else 1)
    spacing = np.where(lengths > 0, lengths / (nx, ny, nz), 1.0)
    if not placed:
        # Side by side, as slices of one volume: at one place, they would be repetitions.
        position = header.slice * nz * spacing[2] * directions[2]
    encoding = [sign * one for one in measured if one is not None]
    centre = (_centre(nx, directions[0], encoding), _centre(ny, directions[1], encoding), nz // 2)
    offset = np.array(centre) * spacing
    origin = position - offset @ directions
    return Geometry((nx, ny, nz), spacing, directions, origin, located)


def _unit_vector(vector: Sequence[float]) -> Vector | None:
    values = np.array(vector, np.float64)
    length = float(np.linalg.norm(values))
    return values / length if np.isfinite(length) and length > 0.5 else None


def _direction(meta: Mapping[str, Any] | None, name: str, default: Vector | None) -> Vector | None:
    try:
        values = [float(part) for part in (meta or {}).get(name) or ()]
    except (TypeError, ValueError):
        return default
    found = _unit_vector(values) if len(values) == 3 else None
    return default if found is None else found


def _axes(row: Vector, column: Vector, slice_dir: Vector | None, sign: int) -> Vector:
    skew = float(row @ column)
    if abs(skew) > MAX_SKEW:
        raise DataError(
            "The directions of an image's rows and columns must be perpendicular, got "
            f"{_listed(row)} and {_listed(column)}. Correct read_dir and phase_dir of the data."
        )
    column = column - skew * row
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    # The axes of a scan may be left-handed.
    against = slice_dir is not None and sign * float(normal @ slice_dir) < -MAX_SKEW
    return np.stack([row, column, -normal if against else normal])


def _centre(size: int, axis: Vector, encoding: Sequence[Vector]) -> int:
    """Return the index of the voxel at the Fourier transform's origin, also of a flipped axis."""
    along = max((float(axis @ one) for one in encoding), key=abs, default=1.0)
    return size // 2 if along > 0 else size - 1 - size // 2


def _listed(vector: Vector) -> str:
    return "(" + ", ".join(f"{part:.3f}" for part in vector) + ")"
