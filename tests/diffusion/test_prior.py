from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from gadget.diffusion import model_loading
from gadget.diffusion.denoisers import PreconditionedDenoiser
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.networks.unet import UNet
from gadget.diffusion.prior import NetworkPrior


class GraphRecorder(nn.Module):
    """A network that keeps what it is given, and gives a constant."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value), requires_grad=False)
        self.inputs: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
        self.inputs += [x, log_sigma]
        return self.value.expand_as(x)


def _prior(denoiser: PreconditionedDenoiser, multiple: int) -> NetworkPrior:
    return NetworkPrior(
        denoiser,
        name="test",
        sha256="0" * 64,
        sigma_min=0.01,
        sigma_max=10,
        channels=2,
        size_multiple=multiple,
        any_orientation=True,
    )


def _complex(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


def test_the_network_sees_and_predicts_unit_variance():
    """Karras et al. 2022, table 1: the effective target (clean - c_skip x) / c_out is unit."""
    network = GraphRecorder()
    denoiser = PreconditionedDenoiser(network, sigma_data=0.25)
    generator = torch.Generator().manual_seed(0)
    for sigma in (0.01, 0.25, 4.0):
        clean = 0.25 * torch.randn(4, 2, 64, 64, generator=generator)
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
        levels = torch.full((4,), sigma)
        network.value.data.fill_(0)
        skipped = denoiser(noisy, levels)
        scaled, log_sigma = network.inputs[-2:]
        assert float(scaled.std()) == pytest.approx(1, abs=0.03)
        torch.testing.assert_close(log_sigma, levels.log())
        network.value.data.fill_(1)
        c_out = denoiser(noisy, levels) - skipped
        assert float(((clean - skipped) / c_out).std()) == pytest.approx(1, abs=0.03)


def test_a_network_of_zeros_is_the_best_linear_denoiser():
    """The posterior mean of white images of variance sigma_data^2."""
    prior, x = _prior(PreconditionedDenoiser(GraphRecorder(), 0.5), 1), _complex(2, 6, 5)
    for sigma in (0.1, 0.5, 2.0):
        torch.testing.assert_close(prior.denoise(x, sigma), x * 0.25 / (0.25 + sigma**2))


@pytest.mark.parametrize("shape", [(8, 8), (9, 13), (1, 1), (7, 16)])
def test_any_size_is_padded_and_cropped_back(shape):
    network = GraphRecorder()
    prior, x = _prior(PreconditionedDenoiser(network, 0.5), 8), _complex(3, *shape)
    denoised = prior.denoise(x, 0.5)
    assert denoised.shape == x.shape
    assert denoised.dtype == torch.complex64
    torch.testing.assert_close(denoised, x / 2)
    given = network.inputs[0]
    assert given.shape[-2] % 8 == given.shape[-1] % 8 == 0
    scaled = x / 0.5**0.5
    height, width = shape
    torch.testing.assert_close(given[:, 0, :height, :width], scaled.real)
    torch.testing.assert_close(given[:, 1, :height, :width], scaled.imag)
    assert not given[..., height:, :].any()
    assert not given[..., width:].any()


def test_padding_does_not_change_the_middle(tiny_network):
    torch.manual_seed(0)
    network = UNet(tiny_network)
    nn.init.normal_(network.head.weight, std=0.1)
    prior = _prior(PreconditionedDenoiser(network, 0.25), tiny_network.size_multiple)
    x = _complex(1, 61, 63)
    torch.testing.assert_close(
        prior.denoise(x, 0.3)[:, 20:28, 20:28],
        prior.denoise(x[:, :60, :60], 0.3)[:, 20:28, 20:28],
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_prior_is_for_use_and_not_for_training():
    network = GraphRecorder(1.0).train()
    prior = _prior(PreconditionedDenoiser(network, 0.25), 1)
    assert not network.training
    assert not prior.denoise(_complex(1, 4, 4), 1.0).requires_grad
    assert prior.device == torch.device("cpu")


@pytest.mark.parametrize("sigma", [0.02, 0.2, 2.0])
def test_half_precision_is_as_good_as_single_precision(sigma, phantom, monkeypatch):
    """Its rounding errors are small beside what the denoiser itself leaves."""
    clean = torch.as_tensor(phantom((64, 64)), dtype=torch.complex64)[None]
    noisy = clean + sigma * _complex(1, 64, 64)
    images = []
    for fast in (False, True):
        monkeypatch.setattr(model_loading, "supports_bfloat16", lambda device, fast=fast: fast)
        images.append(load_prior("brain-small", torch.device("cpu")).denoise(noisy, sigma))
    single, half = images
    assert half.dtype == torch.complex64
    error = torch.linalg.vector_norm(single - clean)
    assert 0 < torch.linalg.vector_norm(half - single) < 0.2 * error
    assert torch.linalg.vector_norm(half - clean) < 1.02 * error


def test_single_precision_is_not_tf32():
    cudnn = torch.backends.cudnn

    class Observer(GraphRecorder):
        def forward(self, x: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
            exact.append(
                cudnn.conv.fp32_precision == "ieee"
                if hasattr(cudnn, "conv")
                else not cudnn.allow_tf32
            )
            return x

    exact: list[bool] = []
    _prior(PreconditionedDenoiser(Observer(), 0.5), 1).denoise(_complex(1, 8, 8), 0.3)
    assert exact == [True]


def test_what_does_not_fit_into_memory_at_once_is_evaluated_in_parts(caplog):
    class Echo(GraphRecorder):
        def forward(self, x: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
            return x

    class Greedy(Echo):
        def forward(self, x: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
            if len(x) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return x

    images = _complex(7, 8, 8)
    apart = _prior(PreconditionedDenoiser(Greedy(), 0.5), 1)
    expected = _prior(PreconditionedDenoiser(Echo(), 0.5), 1).denoise(images, 0.3)
    torch.testing.assert_close(apart.denoise(images, 0.3), expected)
    assert "do not fit into the memory" in caplog.text
    caplog.clear()
    torch.testing.assert_close(apart.denoise(images, 0.3), expected)
    assert not caplog.text


def test_one_image_that_does_not_fit_into_memory_is_an_error():
    class Insatiable(GraphRecorder):
        def forward(self, x: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("out of memory")

    prior = _prior(PreconditionedDenoiser(Insatiable(), 0.5), 1)
    with pytest.raises(torch.OutOfMemoryError):
        prior.denoise(_complex(4, 8, 8), 0.3)


def test_a_prior_is_freed_when_nobody_has_it_any_more():
    prior = load_prior("brain-small", torch.device("cpu"))
    prior.denoise(torch.zeros(1, 16, 16, dtype=torch.complex64), 0.1)
    alive = weakref.ref(prior._denoiser)
    gc.disable()
    try:
        del prior
        assert alive() is None
    finally:
        gc.enable()
