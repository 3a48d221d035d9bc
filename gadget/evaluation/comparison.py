"""Compare reconstructed and zero-filled images with the ground truth."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError, DataError
from gadget.evaluation.metrics import matched_scale, psnr, ssim
from gadget.evaluation.raw_cases import buffers
from gadget.mrd.buffers.buffer import Buffer
from gadget.mrd.hdf5 import open_hdf5
from gadget.mrd.images.make_image import NO_MAGNITUDE
from gadget.mrd.images.meta import is_std_map
from gadget.mrd.images.reader import read_groups, read_images
from gadget.mrd.images.scales import pixel_values
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts.image_key import ImageCounters
from gadget.mrd.simulation.simulate import TRUTH_GROUP
from gadget.mri.operators.fourier import ifftc
from gadget.mri.resample import to_recon_space

log = logging.getLogger(__name__)

Images = dict[ImageCounters, NDArray[np.float32]]


@dataclass(frozen=True)
class Quality:
    """Quality of one or more slices against the truth."""

    psnr: float
    """[dB]"""
    ssim: float


@dataclass(frozen=True)
class Comparison:
    """Magnitudes `[slice, y, x]`, each scaled to the truth by one factor."""

    indices: tuple[ImageCounters, ...]
    truth: NDArray[np.float32]
    zero_filled: NDArray[np.float32]
    reconstruction: NDArray[np.float32]

    def quality(self, images: NDArray[np.float32], number: int | None = None) -> Quality:
        """Return the quality of one slice of `images`, or of all of them."""
        some = slice(None) if number is None else slice(number, number + 1)
        truth = self.truth[some]
        return Quality(psnr(truth, images[some]), ssim(truth, images[some]))


def compare(images: Path, raw: Path) -> Comparison:
    """Compare reconstructed images with the truth that the raw data come with.

    Parameters
    ----------
    images
        Result of a reconstruction; of several in groups of one file, the last one counts.
    raw
        Raw data as `simulate` writes them.

    Raises
    ------
    ConfigError
        A file is missing, or `raw` has no truth in it.
    DataError
        A file is damaged, or an image is missing or of another size.
    """
    truth = _magnitudes(_read_truth(raw))
    groups = read_groups(images)
    *others, last = groups
    if others:
        log.warning(
            "'%s' holds images in '%s', too; those in '%s' are compared.", images, others[0], last
        )
    found = _magnitudes(groups[last])
    zero_filled_images = zero_filled(raw)
    indices = tuple(sorted(truth))
    reference = np.stack([truth[index] for index in indices])
    return Comparison(
        indices,
        reference,
        _scaled_to_truth(zero_filled_images, indices, reference, raw),
        _scaled_to_truth(found, indices, reference, images),
    )


def zero_filled(raw: Path) -> Images:
    """Reconstruct raw data by inverse Fourier transform and root sum of squares alone."""
    with RawFile(raw) as file:
        return {ImageCounters.of(one.reference.idx): _rss_image(one) for one in buffers(file)}


def _rss_image(buffer: Buffer) -> NDArray[np.float32]:
    coil_images = ifftc(buffer.kspace.data, (1, 2, 3))
    recon = buffer.encoding.recon
    resized = to_recon_space(
        coil_images, buffer.field_of_view, recon.field_of_view_mm, recon.matrix
    )
    return np.asarray(np.sqrt((np.abs(resized) ** 2).sum(0))[0], np.float32)


def _magnitudes(images: list[ismrmrd.Image]) -> Images:
    """Return the first partition of every magnitude or complex image, without maps."""
    return {
        ImageCounters.of(image.getHead()): _magnitude(image)
        for image in images
        if not is_std_map(image.meta) and image.image_type not in NO_MAGNITUDE
    }


def _magnitude(image: ismrmrd.Image) -> NDArray[np.float32]:
    return np.abs(pixel_values(image.data[0, 0], image.meta)).astype(np.float32)


def _read_truth(raw: Path) -> list[ismrmrd.Image]:
    with open_hdf5(raw) as file:
        if TRUTH_GROUP not in file:
            raise ConfigError(
                f"'{raw}' has no truth to compare with: it has no group '{TRUTH_GROUP}'. Give the "
                "images first, then the raw data, from `score-gadget simulate`."
            )
    return read_images(raw, TRUTH_GROUP)


def _scaled_to_truth(
    images: Images, indices: tuple[ImageCounters, ...], truth: NDArray[np.float32], path: Path
) -> NDArray[np.float32]:
    missing = [index for index in indices if index not in images]
    if missing:
        raise DataError(
            f"'{path}' holds no magnitude or complex image of slice {missing[0].slice}; there is a "
            "truth."
        )
    wrong = [images[index].shape for index in indices if images[index].shape != truth.shape[1:]]
    if wrong:
        raise DataError(
            f"An image in '{path}' has {wrong[0][0]} x {wrong[0][1]} pixels, the truth "
            f"{truth.shape[1]} x {truth.shape[2]}. Are these files of the same scan?"
        )
    stack = np.stack([images[index] for index in indices])
    return np.asarray(stack * np.float32(matched_scale(truth, stack)))
