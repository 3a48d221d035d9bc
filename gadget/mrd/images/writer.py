"""Writing of images to HDF5 files, in the layout of Gadgetron's client."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
import ismrmrd

from gadget.errors import ConfigError, DataError, ReconError, reason
from gadget.files import temporary_path
from gadget.mrd.hdf5 import BeingWritten, open_hdf5
from gadget.mrd.images.series import SeriesNumbers, append_image

log = logging.getLogger(__name__)

METADATA_BYTES = 2**16
"""More than HDF5 writes beside the pixels of an image."""


class ImageWriter:
    """Writes `/<group>/image_<series>/{data,header,attributes}`, a context manager.

    The file is renamed into place when the writer is closed, also after an error: the images until
    then are kept. Other groups of an existing file stay; the same group is replaced. Without any
    image nothing changes. The header of the scan goes to `/<group>/xml`, as in raw data: patient
    and scanner are not in the image headers.

    Parameters
    ----------
    path
        File to write.
    group
        Group of the images.
    header_xml
        XML header of the raw data, where there is one.

    Raises
    ------
    ConfigError
        The file cannot be written there, or exists and is not HDF5.
    BeingWritten
        It exists, and another program has it open for writing.
    """

    def __init__(
        self, path: Path | str, group: str = "dataset", header_xml: bytes | None = None
    ) -> None:
        self.path = Path(path)
        # As HDF5 takes it, which passes over these parts.
        self.group = "/".join(part for part in group.split("/") if part not in ("", "."))
        self.count = 0
        self._numbers = SeriesNumbers()
        self._temporary = temporary_path(self.path)
        if not self.group:
            raise ConfigError("The group of the images needs a name, such as 'dataset'.")
        if self.path.exists() and not self.path.is_file():
            raise ConfigError(f"'{self.path}' is no regular file; the images need one.")
        try:
            self._file = h5py.File(self._temporary, "w")
        except OSError as error:
            raise ConfigError(
                f"'{self.path}' cannot be written: {reason(error)}. Choose another folder."
            ) from error
        self._descriptor = os.open(self._temporary, os.O_RDWR)
        try:
            self._keep_other_groups()
            if header_xml:
                self._write_header(header_xml)
        except OSError as error:
            self._discard()
            raise ConfigError(
                f"'{self.path}' cannot be written: {reason(error)}. Make room first."
            ) from error
        except BaseException:
            self._discard()
            raise

    def append(self, image: ismrmrd.Image) -> None:
        """Write an image.

        A series has one matrix size and pixel type; an image that differs from the first of its
        series gets a series of its own.

        Raises
        ------
        DataError
            The disk is full, or another error of the file system.
        """
        header = image.getHead()
        series = self._numbers.of(header.image_series_index, image)
        header.image_series_index = series
        try:
            with self._allocated(image.data.nbytes):
                group = self._file.require_group(f"{self.group}/image_{series}")
                append_image(group, header, image)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"Image {self.count + 1} could not be written to '{self.path}': {reason(error)}. "
                "Make room and reconstruct again."
            ) from error
        self.count += 1

    def close(self) -> None:
        """Move the file into place.

        Raises
        ------
        DataError
            The file cannot be completed.
        """
        if not self._file:
            return
        try:
            with ExitStack() as stack:
                stack.callback(os.close, self._descriptor)
                stack.callback(self._file.close)
                if self.count and self._state() != self._copied:
                    self._keep_other_groups()  # another program has written some since
            if not self.count:
                self._temporary.unlink(missing_ok=True)
                return
            with h5py.File(self._temporary, "r"):
                pass
            self._temporary.replace(self.path)
        except (OSError, RuntimeError, ReconError) as error:
            self._temporary.unlink(missing_ok=True)
            raise DataError(
                f"'{self.path}' could not be completed: {reason(error)}. No image is kept."
            ) from error

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except DataError:
            if error is None:
                raise
            log.exception("The images before the error are lost too.")

    def _state(self) -> tuple[int, int] | None:
        """Return what tells one state of the existing file from another, None without one."""
        if not self.path.exists():
            return None
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns

    def _keep_other_groups(self) -> None:
        self._copied = self._state()
        if self._copied is None:
            return
        try:
            existing = open_hdf5(self.path)
        except BeingWritten:
            raise
        except DataError as error:
            raise ConfigError(
                f"'{self.path}' exists and is not an HDF5 file; choose another name for the images."
            ) from error
        with existing:
            if isinstance(existing.get(f"{self.group}/data"), h5py.Dataset):
                raise ConfigError(
                    f"'{self.path}' holds raw data in '{self.group}'; choose another file for the "
                    "images, or another group."
                )
            try:
                self._copy_all_but(self.group.split("/"), existing, self._file)
            except (RuntimeError, LookupError) as error:
                raise ConfigError(
                    f"'{self.path}' holds what cannot be copied ({error.args[0]}); "
                    "choose another file for the images."
                ) from error

    def _copy_all_but(self, excluded: list[str], source: h5py.Group, target: h5py.Group) -> None:
        """Copy a group without the one below it that the path `excluded` leads to."""
        first, *rest = excluded
        for name in source:
            if name != first:
                if name in target:
                    del target[name]
                with self._allocated(self.path.stat().st_size):
                    source.copy(name, target)
            elif rest and isinstance(source[name], h5py.Group):
                self._copy_all_but(rest, source[name], target.require_group(name))

    def _write_header(self, xml: bytes) -> None:
        with self._allocated(len(xml)):
            text = h5py.special_dtype(vlen=bytes)
            self._file.create_dataset(f"{self.group}/xml", (1,), text)[0] = xml

    @contextmanager
    def _allocated(self, count: int) -> Iterator[None]:
        """Allocate disk space for `count` bytes before HDF5 writes them.

        HDF5 crashes the process after a write that failed.
        """
        if hasattr(os, "posix_fallocate"):
            size = self._file.id.get_filesize()
            os.posix_fallocate(self._descriptor, 0, size + count + METADATA_BYTES)
        yield
        self._file.flush()
        os.ftruncate(self._descriptor, self._file.id.get_filesize())

    def _discard(self) -> None:
        self._file.close()
        os.close(self._descriptor)
        self._temporary.unlink(missing_ok=True)
