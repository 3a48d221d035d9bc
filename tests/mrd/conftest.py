from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd.hdf5 import acquisition_dtype, acquisition_header_dtype
from wire_bytes import messages_in

from gadget.mrd.xml_header.header import Header
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.operators.fourier import fftc
from gadget.stream.wire.codec import decode

LAST_IN_SLICE = 1 << (ismrmrd.ACQ_LAST_IN_SLICE - 1)
NOISE = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
CALIBRATION = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1)
CALIBRATION_AND_IMAGING = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING - 1)


@dataclass
class Scan:
    """A small Cartesian scan of random images: header and readouts on demand."""

    encoded: tuple[int, int, int] = (16, 8, 1)
    recon: tuple[int, int, int] = (8, 8, 1)
    encoded_fov: tuple[float, float, float] = (32.0, 16.0, 5.0)
    recon_fov: tuple[float, float, float] = (16.0, 16.0, 5.0)
    coils: int = 3
    limits: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    calibration: str | None = None
    extra: str = ""
    trajectory: str = "cartesian"

    @property
    def xml(self) -> bytes:
        limits = "".join(
            f"<{name}><minimum>{low}</minimum><maximum>{high}</maximum><center>{center}</center>"
            f"</{name}>"
            for name, (low, high, center) in self.limits.items()
        )
        parallel = (
            "<parallelImaging><accelerationFactor><kspace_encoding_step_1>2"
            "</kspace_encoding_step_1><kspace_encoding_step_2>1</kspace_encoding_step_2>"
            f"</accelerationFactor><calibrationMode>{self.calibration}</calibrationMode>"
            "</parallelImaging>"
            if self.calibration
            else ""
        )
        return (
            '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
            f"{self.extra}"
            "<experimentalConditions><H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz>"
            "</experimentalConditions><encoding>"
            f"<encodedSpace>{_space(self.encoded, self.encoded_fov)}</encodedSpace>"
            f"<reconSpace>{_space(self.recon, self.recon_fov)}</reconSpace>"
            f"<encodingLimits>{limits}</encodingLimits>"
            f"<trajectory>{self.trajectory}</trajectory>{parallel}</encoding></ismrmrdHeader>"
        ).encode()

    @property
    def header(self) -> Header:
        return parse_header(self.xml)

    def image(self, seed: int = 0) -> np.ndarray:
        """An image [coil, z, y, x] inside the reconstructed field of view along x."""
        random = np.random.default_rng(seed)
        x, y, z = self.encoded
        size = round(x * self.recon_fov[0] / self.encoded_fov[0])
        image = np.zeros((self.coils, z, y, x), np.complex64)
        inside = random.normal(size=(2, self.coils, z, y, size))
        start = x // 2 - size // 2
        image[..., start : start + size] = inside[0] + 1j * inside[1]
        return image

    def cropped(self, image: np.ndarray) -> np.ndarray:
        x = self.encoded[0]
        size = round(x * self.recon_fov[0] / self.encoded_fov[0])
        start = x // 2 - size // 2
        return image[..., start : start + size]

    def readouts(self, image: np.ndarray, ky=None, kz=None, **counters: int):
        """Readouts of an image, in the order of ky within kz."""
        kspace = fftc(image, (-3, -2, -1)).astype(np.complex64)
        _, ny, nz = self.encoded
        center_y = self.limits.get("kspace_encoding_step_1", (0, 0, ny // 2))[2]
        center_z = self.limits.get("kspace_encoding_step_2", (0, 0, nz // 2))[2]
        return [
            self.readout(
                kspace[:, z, y],
                kspace_encode_step_1=y - ny // 2 + center_y,
                kspace_encode_step_2=z - nz // 2 + center_z,
                **counters,
            )
            for z in (range(nz) if kz is None else kz)
            for y in (range(ny) if ky is None else ky)
        ]

    def readout(self, samples: np.ndarray, flags: int = 0, **counters: int) -> ismrmrd.Acquisition:
        head = ismrmrd.AcquisitionHeader()
        head.version = 1
        head.flags = flags
        head.active_channels = head.available_channels = samples.shape[0]
        head.number_of_samples = samples.shape[1]
        head.center_sample = samples.shape[1] // 2
        head.sample_time_us = 5
        head.position = (1.5, -2.5, 3.5)
        head.read_dir, head.phase_dir, head.slice_dir = (1, 0, 0), (0, 1, 0), (0, 0, 1)
        head.measurement_uid = 77
        for name, value in counters.items():
            setattr(head.idx, name, value)
        head.acquisition_time_stamp = 1000 + head.idx.kspace_encode_step_1
        return ismrmrd.Acquisition(head, np.ascontiguousarray(samples, np.complex64))


def _space(matrix, fov) -> str:
    sizes = "".join(f"<{axis}>{size}</{axis}>" for axis, size in zip("xyz", matrix, strict=True))
    lengths = "".join(f"<{axis}>{size}</{axis}>" for axis, size in zip("xyz", fov, strict=True))
    return f"<matrixSize>{sizes}</matrixSize><fieldOfView_mm>{lengths}</fieldOfView_mm>"


@pytest.fixture
def make_scan():
    return Scan


@pytest.fixture
def raw_file(tmp_path: Path):
    """Writes readouts and a header to an ISMRMRD file."""

    def write(xml: bytes | None, acquisitions, name="raw.h5", group="dataset", waveforms=()):
        path = tmp_path / name
        rows = np.empty(len(acquisitions), acquisition_dtype)
        for row, one in zip(rows, acquisitions, strict=True):
            row["head"] = np.frombuffer(bytes(one.getHead()), acquisition_header_dtype)[0]
            row["traj"] = one.traj.ravel().view(np.float32)
            row["data"] = one.data.ravel().view(np.float32)
        with h5py.File(path, "a") as file:
            here = file.require_group(group)
            if xml is not None:
                here.create_dataset("xml", data=[xml], dtype=h5py.special_dtype(vlen=bytes))
            here.create_dataset("data", data=rows, maxshape=(None,))
        if waveforms:
            dataset = ismrmrd.Dataset(str(path), group)
            for waveform in waveforms:
                dataset.append_waveform(waveform)
            dataset.close()
        return path

    return write


@pytest.fixture
def make_image():
    """Makes an image `[z, y, x]` or `[coil, z, y, x]`; counters and other fields by their names."""

    def make(pixels, meta=None, **fields) -> ismrmrd.Image:
        image = ismrmrd.Image.from_array(np.asarray(pixels), transpose=False)
        head = image.getHead()
        head.image_type = ismrmrd.IMTYPE_MAGNITUDE
        head.field_of_view = tuple(float(size) for size in head.matrix_size)
        head.read_dir, head.phase_dir, head.slice_dir = (1, 0, 0), (0, 1, 0), (0, 0, 1)
        for name, value in fields.items():
            setattr(head, name, value)
        image.setHead(head)
        image.meta = ismrmrd.Meta(meta or {})
        return image

    return make


@pytest.fixture
def recorded(recording):
    """Header and items that a Gadgetron server sent to a node."""

    def read(name: str):
        messages = list(messages_in(recording(name)))
        header = bytes(messages[1].payload)
        return parse_header(header[header.index(b"<") :]), [
            decode(message) for message in messages[2:-1]
        ]

    return read
