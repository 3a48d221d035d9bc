from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.phantoms.scanner import coil_maps, correlated_noise, smooth_phase
from gadget.mri.sampling.masks import uniform_lines

# Before torch is imported, here and in the processes that tests start: the problems are so small
# that threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell lets what it starts in the background ignore Ctrl-C, and so would what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")


ROOT = Path(__file__).resolve().parent.parent
GENERATOR = "ismrmrd_generate_cartesian_shepp_logan"
ELLIPSES = (
    (0.0, 0.0, 0.95, 0.85, 1.0),
    (0.0, 0.0, 0.85, 0.72, -0.4),
    (0.1, 0.3, 0.35, 0.25, 0.25),
    (0.05, -0.3, 0.40, 0.20, -0.25),
    (-0.45, 0.0, 0.15, 0.20, 0.4),
    (0.5, 0.05, 0.10, 0.10, 0.3),
)
"""Centre (y, x), half axes (y, x) and brightness; the first is the outline of a head."""


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the test data that are too big to be part of the project."""
    folder = os.environ.get("SCORE_GADGET_TEST_DATA")
    if not folder:
        pytest.skip("SCORE_GADGET_TEST_DATA does not name the folder of the test data")
    return Path(folder).resolve()


@pytest.fixture
def recording(test_data: Path):
    """Bytes that a Gadgetron server sent to a node: from CONFIG to CLOSE."""

    def read(name: str) -> bytes:
        file = test_data / "reference" / "gadgetron_wire" / f"phantom_grappa2.{name}.bin.gz"
        return gzip.decompress(file.read_bytes())

    return read


@pytest.fixture
def shepp_logan(tmp_path: Path):
    """Writes raw data with ismrmrd's own generator."""
    if not shutil.which(GENERATOR):
        pytest.skip(f"{GENERATOR} (Debian package ismrmrd-tools) is not installed")

    def generate(*options: str, name: str = "phantom.h5") -> Path:
        path = tmp_path / name
        subprocess.run([GENERATOR, "-o", str(path), *options], check=True, capture_output=True)
        return path

    return generate


@pytest.fixture
def little_memory():
    """Leaves this process 1 GiB more memory than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def node_path(monkeypatch: pytest.MonkeyPatch):
    """Lets nodes that are started import this checkout, and more folders if need be."""

    def add(*folders: Path) -> None:
        paths = [*map(str, folders), str(ROOT), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))

    add()
    return add


@dataclass(frozen=True)
class Measurement:
    """A simulated 2D scan and the truth behind it."""

    image: np.ndarray
    """`[y, x]`, complex."""
    maps: np.ndarray
    """`[coil, y, x]`, normalised."""
    kspace: KSpace

    @property
    def object(self) -> np.ndarray:
        """Where the image is not air."""
        return np.abs(self.image) > 0.1

    def map_error(self, maps: np.ndarray) -> np.ndarray:
        """1 - |<S, S_true>| in the object: 0 where they agree but for a phase of the image."""
        return 1 - np.abs(np.sum(maps.conj() * self.maps, axis=0))[self.object]

    def error(self, image: np.ndarray) -> float:
        """Relative error of an image's magnitude."""
        difference = np.abs(image).reshape(self.image.shape) - np.abs(self.image)
        return float(np.linalg.norm(difference) / np.linalg.norm(self.image))


@pytest.fixture(scope="session")
def phantom():
    """Makes the magnitude of a head, `size` half fields of view long."""

    def make(shape, size=0.8, centre=(0.0, 0.0)) -> np.ndarray:
        y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
        y, x = (y - centre[0]) / size, (x - centre[1]) / size
        image = np.zeros(shape)
        for at_y, at_x, height, width, value in ELLIPSES:
            image[((y - at_y) / height) ** 2 + ((x - at_x) / width) ** 2 <= 1] += value
        return image

    return make


@pytest.fixture(scope="session")
def measure(phantom):
    """Simulates a 2D scan; without a mask, of every `acceleration`-th line and ten in the centre.

    `noise` is the standard deviation of complex noise, in units of the image.
    """

    def make(
        shape=(48, 48), coils=6, acceleration=2, noise=0.001, mask=None, seed=0, **head
    ) -> Measurement:
        rng = np.random.default_rng(seed)
        if mask is None:
            lines = uniform_lines(shape[0], acceleration, 10 / shape[0])
            mask = np.broadcast_to(lines[:, None], shape)
        maps = coil_maps(coils, shape)
        image = phantom(shape, **head) * smooth_phase(shape, rng)
        white = correlated_noise(np.eye(coils), mask.size, rng).reshape(coils, *shape)
        data = (fftc(maps * image) + noise * white) * mask
        return Measurement(
            image,
            maps,
            KSpace(data[:, None].astype(np.complex64), mask[None].astype(np.float32)),
        )

    return make


@pytest.fixture(scope="session")
def measure_folded(phantom):
    """Simulates a 2D scan of a head `size` half fields of view long, which folds where that is > 1.

    The image is what complete sampling shows, the root sum of squares of coil images that fold.
    """

    def make(shape=(64, 48), size=1.2, coils=8, acceleration=2, noise=0.001, seed=0) -> Measurement:
        rng = np.random.default_rng(seed)
        rows, columns = shape
        # Twice the field of view, of which every other line of k-space is measured.
        larger = (2 * rows, 2 * columns)
        head = phantom(larger, size=size / 2)[:, columns // 2 : columns // 2 + columns]
        maps = coil_maps(coils, larger, radius=0.75)[..., columns // 2 : columns // 2 + columns]
        coil_images = maps * head * smooth_phase(head.shape, rng)
        kspace = 2**0.5 * fftc(coil_images)[:, rows % 2 :: 2]
        white = correlated_noise(np.eye(coils), rows * columns, rng).reshape(coils, *shape)
        mask = np.broadcast_to(uniform_lines(rows, acceleration, 12 / rows)[:, None], shape)
        data = (kspace + noise * white) * mask
        return Measurement(
            np.linalg.norm(ifftc(kspace), axis=0),
            maps[:, rows // 2 : rows // 2 + rows],
            KSpace(data[:, None].astype(np.complex64), mask[None].astype(np.float32)),
        )

    return make


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with throw-away models called `tiny` and `other`."""
    import torch

    from gadget.diffusion.denoisers import PreconditionedDenoiser
    from gadget.diffusion.model_folder import ModelConfig, save_model
    from gadget.diffusion.networks.unet import UNet, UNetConfig

    folder = tmp_path_factory.mktemp("models")
    network = UNetConfig(widths=(8, 8), blocks=1, patch=2, embedding=8)
    torch.manual_seed(0)
    # They differ in what they expect: the last layer of an untrained network gives zeros.
    for name, sigma_data in (("tiny", 0.25), ("other", 0.5)):
        config = ModelConfig(
            name=name,
            network=network,
            sigma_data=sigma_data,
            sigma_min=0.002,
            sigma_max=10,
            training_steps=0,
            sha256="0" * 64,
        )
        weights = PreconditionedDenoiser(UNet(network), sigma_data).state_dict()
        save_model(folder / name, config, weights)
    return folder


@pytest.fixture
def models(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of models that every process finds by the names `tiny` and `other`."""
    monkeypatch.setenv("SCORE_GADGET_MODELS", str(tiny_models))
    return tiny_models
