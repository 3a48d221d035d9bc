"""Load fully sampled slices from raw data, images and phantoms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError, DataError, reason
from gadget.evaluation.cases import Case, Receiver, central_slices, simulated_case, usable_cases
from gadget.evaluation.phantoms import MATRIX, PHANTOMS, phantom_slices
from gadget.evaluation.raw_cases import raw_cases
from gadget.extras import optional_import
from gadget.files import raise_unreadable, walk
from gadget.mrd.raw.raw_file import RAW_SUFFIXES
from gadget.training.readers import magnitude
from gadget.training.slices import slice_axis

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".npy")
SUFFIXES = IMAGE_SUFFIXES + RAW_SUFFIXES
PHANTOM = "phantom:"
CUBES = 1.01
"""Largest ratio of voxel edges at which a volume has no slice axis of its own, and is cut across
the body."""
RADIOLOGICAL = ("L", "A", "S")
"""Axes that let a quarter turn show heads upright, their right on the viewer's left."""


def find_inputs(inputs: Sequence[str]) -> list[str]:
    """Return every usable file below the inputs, and the phantoms among them, each once.

    Raises
    ------
    ConfigError
        An input does not exist, or nothing in it can be used.
    """
    found: dict[str, None] = {}
    for text in inputs:
        path = Path(text)
        if text.startswith(PHANTOM) and text.removeprefix(PHANTOM) in PHANTOMS:
            found[text] = None
        elif path.is_dir():
            below = [at / name for at, _, names in walk(path, raise_unreadable) for name in names]
            files = sorted(one for one in below if _ends_in(one, SUFFIXES) and one.is_file())
            if not files:
                raise ConfigError(f"'{path}' holds no file ending in {', '.join(SUFFIXES)}.")
            found |= {str(one): None for one in files}
        elif path.is_file() and _ends_in(path, SUFFIXES):
            found[text] = None
        else:
            known = " or ".join(PHANTOM + name for name in PHANTOMS)
            raise ConfigError(
                f"'{text}' is no input; expected a folder, a file ending in "
                f"{', '.join(SUFFIXES)}, or {known}."
            )
    return list(found)


def load_cases(
    text: str, slices: int, receiver: Receiver, matrix: tuple[int, int] = MATRIX
) -> Iterator[Case]:
    """Yield `slices` slices of an input, spread over its middle half.

    Those that cannot be used are named in the log, and left out.

    Parameters
    ----------
    text
        One of what `find_inputs` returns.
    slices
        How many.
    receiver
        What images and phantoms are scanned with.
    matrix
        Rows and columns of a phantom.

    Raises
    ------
    DataError
        The file cannot be read, or not one of these slices can be used.
    """
    if text.startswith(PHANTOM):
        for number, image in phantom_slices(text.removeprefix(PHANTOM), slices, matrix):
            yield simulated_case(text, number, image, receiver)
        return
    path = Path(text)
    if _ends_in(path, RAW_SUFFIXES):
        yield from raw_cases(path, slices)
        return
    is_nifti = not _ends_in(path, (".npy",))
    volume = _read_nifti(path) if is_nifti else _read_numpy(path)
    yield from usable_cases(
        text,
        (
            partial(
                simulated_case,
                path.name,
                number,
                volume[number],
                receiver,
                quarter_turns=int(is_nifti),
            )
            for number in central_slices(len(volume), slices)
        ),
    )


def _ends_in(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a file's name ends in one of these, in upper or lower case."""
    return path.name.lower().endswith(suffixes)


def _read_nifti(path: Path) -> NDArray[np.float32]:
    """Read a volume `[slice, row, column]`; slices are cut across the coarsest axis."""
    with optional_import("NIfTI files need", "evaluate"):
        import nibabel
    orientations: Any = nibabel.orientations
    without_axes_of_one_point: Any = nibabel.funcs.squeeze_image
    try:
        image = without_axes_of_one_point(nibabel.load(path))
        if len(image.shape) == 2:
            pixels = np.asarray(image.dataobj)[..., None]
            image = nibabel.Nifti1Image(pixels, image.affine)  # type: ignore[no-untyped-call]
        source = orientations.io_orientation(image.affine)
        target = orientations.axcodes2ornt(RADIOLOGICAL)
        reoriented = image.as_reoriented(orientations.ornt_transform(source, target))
        volume = magnitude(np.asarray(reoriented.dataobj))
    except Exception as error:  # damaged files raise whatever they like
        raise DataError(f"'{path}' is no readable NIfTI file: {reason(error)}.") from error
    if volume.ndim != 3:
        raise DataError(f"'{path}' must hold one 3D volume, got shape {list(volume.shape)}.")
    zooms = np.asarray(reoriented.header.get_zooms()[:3])
    cubes = 1 not in volume.shape and zooms.max() < CUBES * zooms.min()
    return np.moveaxis(volume, 2 if cubes else slice_axis(volume.shape, zooms.tolist()), 0)


def _read_numpy(path: Path) -> NDArray[Any]:
    """Read images `[slice, y, x]`, or one `[y, x]`; real ones are magnitudes."""
    try:
        images: NDArray[Any] = np.load(path, allow_pickle=False)
        images = images.astype(np.complex64 if np.iscomplexobj(images) else np.float32)
    except Exception as error:  # damaged files raise whatever they like
        raise DataError(f"'{path}' is no readable NumPy file: {reason(error)}.") from error
    if images.ndim not in (2, 3):
        raise DataError(
            f"'{path}' must hold images [slice, y, x] or [y, x], got shape {list(images.shape)}."
        )
    return images.reshape(-1, *images.shape[-2:])
