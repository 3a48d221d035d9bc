"""U-Net and end-to-end variational network of the `fastmri` package, with the user's weights.

Zbontar et al., fastMRI: an open dataset and benchmarks for accelerated MRI, 2018; Sriram et al.,
End-to-end variational networks for accelerated MRI reconstruction, MICCAI 2020.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from gadget.diffusion.devices import select_device
from gadget.errors import ConfigError, WeightsError, reason
from gadget.evaluation.methods.method import Estimate
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.centre import centre_extent

DOWN, FIRST = "down_sample_layers.", "down_sample_layers.0.layers.0.weight"
CLIP = 6
"""Standard deviations that the U-Net's input is clipped to, as in its training."""


class FastMriUNet:
    """The baseline U-Net on the root-sum-of-squares image of the zero-filled data.

    Raises
    ------
    ConfigError, WeightsError
        `fastmri` is not installed, the weights do not fit, or there is no such device.
    """

    def __init__(self, weights: str, device: str) -> None:
        self.name, self.label = f"unet:{weights}", f"U-Net (fastMRI, {Path(weights).stem})"
        state = _read(weights, "unet.")
        models = _models()
        self._device = select_device(device)
        with _fitting(weights):
            network = models.Unet(1, 1, chans=len(state[FIRST]), num_pool_layers=_levels(state, ""))
            network.load_state_dict(state)
        self._network: nn.Module = network.eval().to(self._device)

    @torch.inference_mode()
    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        """Yield the one image."""
        started = time.monotonic()
        image = _magnitude(ifftc(_columns(kspace).to(self._device)))
        mean, std = image.mean(), image.std() + 1e-11
        normal = ((image - mean) / std).clamp(-CLIP, CLIP)
        clean = self._network(normal[None, None])[0, 0] * std + mean
        yield _estimate(clean, started)


class FastMriVarNet:
    """The end-to-end variational network.

    Raises
    ------
    ConfigError, WeightsError
        `fastmri` is not installed, the weights do not fit, or there is no such device.
    """

    def __init__(self, weights: str, device: str) -> None:
        self.name, self.label = f"varnet:{weights}", f"E2E-VarNet (fastMRI, {Path(weights).stem})"
        state = _read(weights, "varnet.")
        models = _models()
        self._device = select_device(device)
        inner, maps = "cascades.0.model.unet.", "sens_net.norm_unet.unet."
        with _fitting(weights):
            network = models.VarNet(
                num_cascades=sum(name.endswith(".dc_weight") for name in state),
                sens_chans=len(state[maps + FIRST]),
                sens_pools=_levels(state, maps),
                chans=len(state[inner + FIRST]),
                pools=_levels(state, inner),
            )
            network.load_state_dict(state)
        self._network: nn.Module = network.eval().to(self._device)

    @torch.inference_mode()
    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        """Yield the one image."""
        started = time.monotonic()
        data = torch.view_as_real(_columns(kspace).to(self._device))
        mask = torch.from_numpy(kspace.mask[0].T.copy()).to(self._device)
        centre = max(1, centre_extent(kspace.mask[0])[0])
        clean = self._network(data[None], mask[None, None, :, :, None], centre)[0]
        yield _estimate(clean, started)


def _columns(kspace: KSpace) -> Tensor:
    """Return k-space `[coil, kx, ky]`: fastMRI leaves out columns, not rows."""
    return torch.from_numpy(kspace.data[:, 0].swapaxes(-1, -2).copy())


def _magnitude(coil_images: Tensor) -> Tensor:
    return coil_images.abs().square().sum(0).sqrt()


def _estimate(image: Tensor, started: float) -> Estimate:
    magnitude = image.T.float().cpu().numpy()
    return Estimate(np.abs(magnitude), time.monotonic() - started, evaluations=1)


def _models() -> ModuleType:
    try:
        return importlib.import_module("fastmri.models")
    except ImportError as error:
        raise ConfigError(
            f"The networks of fastMRI need its package ({error}): pip install fastmri."
        ) from error


def _read(path: str, prefix: str) -> dict[str, Tensor]:
    """Read a state dict, or that of a Lightning checkpoint."""
    if not Path(path).is_file():
        raise ConfigError(
            f"The weights '{path}' do not exist; give them as {prefix[:-1]}:FILE, for example "
            f"{prefix[:-1]}:knee_state_dict.pt."
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise whatever they like
        raise WeightsError(f"The weights '{path}' cannot be read: {reason(error)}.") from error
    parts = found.get("state_dict", found) if isinstance(found, Mapping) else None
    if not isinstance(parts, Mapping):
        raise WeightsError(
            f"The weights '{path}' are no weights: expected a state dict or a Lightning "
            f"checkpoint with one, got {type(found).__name__}."
        )
    state = {str(name): value for name, value in parts.items() if isinstance(value, Tensor)}
    own = {name.removeprefix(prefix): value for name, value in state.items() if prefix in name}
    return own or state


def _levels(state: dict[str, Tensor], where: str) -> int:
    """Return the number of pooling layers of a U-Net."""
    names = [name.removeprefix(where) for name in state if name.startswith(where + DOWN)]
    return len({name.split(".")[1] for name in names})


@contextmanager
def _fitting(path: str) -> Iterator[None]:
    """Turn errors of loading into a `WeightsError` that names the file."""
    try:
        yield
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"The weights '{path}' are not those of this network of the fastmri package: {error}"
        ) from error
