"""ADM against numbers that the authors' own network gave, and what else checkpoints may hold."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
import torch

from gadget.diffusion.denoisers import NoiseDenoiser
from gadget.diffusion.model_folder import ModelConfig, save_model
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.networks.adm import Adm, AdmConfig
from gadget.diffusion.published.card import model_card
from gadget.diffusion.published.checkpoint import read_published
from gadget.diffusion.published.dds import ASSUMED
from gadget.errors import WeightsError

SMALL = AdmConfig(stem=32, widths=(32, 128), attention=(1,))
RECORDED = [
    [[-0.08568668, -1.1897483], [0.7671739, -1.1079906]],
    [8.9611635, 10.2181072],
]
"""What the network of the DDS repository gives for the weights of `published`, time steps 3 and
700: its output at [2, 3], and the root sum of squares of each image."""


def _conv(name: str, inputs: int, outputs: int, size: int = 3) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs, size, size), f"{name}.bias": (outputs,)}


def _plain(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _residual(name: str, inputs: int, outputs: int, length: int) -> dict[str, tuple[int, ...]]:
    skip = _conv(f"{name}.skip_connection", inputs, outputs, 1) if inputs != outputs else {}
    return {
        **_plain(f"{name}.in_layers.0", inputs),
        **_conv(f"{name}.in_layers.2", inputs, outputs),
        **_plain(f"{name}.emb_layers.1", 2 * outputs, length),
        **_plain(f"{name}.out_layers.0", outputs),
        **_conv(f"{name}.out_layers.3", outputs, outputs),
        **skip,
    }


def _attention(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {
        **_plain(f"{name}.norm", width),
        **_plain(f"{name}.qkv", 3 * width, width, 1),
        **_plain(f"{name}.proj_out", width, width, 1),
    }


def _layout(config: AdmConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a DDS checkpoint, put down by hand."""
    length = 4 * config.stem
    shapes = _plain("time_embed.0", length, config.stem) | _plain("time_embed.2", length, length)
    shapes |= _conv("input_blocks.0.0", config.channels, config.stem)
    channels, skips, number = config.stem, [config.stem], 1
    for level, width in enumerate(config.widths):
        for _ in range(config.blocks):
            shapes |= _residual(f"input_blocks.{number}.0", channels, width, length)
            if level in config.attention:
                shapes |= _attention(f"input_blocks.{number}.1", width)
            channels = width
            skips.append(channels)
            number += 1
        if level < len(config.widths) - 1:
            shapes |= _residual(f"input_blocks.{number}.0", channels, channels, length)
            skips.append(channels)
            number += 1
    shapes |= _residual("middle_block.0", channels, channels, length)
    shapes |= _attention("middle_block.1", channels)
    shapes |= _residual("middle_block.2", channels, channels, length)
    number = 0
    for level in reversed(range(len(config.widths))):
        width = config.widths[level]
        for block in range(config.blocks + 1):
            name = f"output_blocks.{number}"
            shapes |= _residual(f"{name}.0", channels + skips.pop(), width, length)
            channels, place = width, 1
            if level in config.attention:
                shapes |= _attention(f"{name}.1", width)
                place = 2
            if level and block == config.blocks:
                shapes |= _residual(f"{name}.{place}", channels, channels, length)
            number += 1
    return shapes | _plain("out.0", channels) | _conv("out.2", channels, config.outputs)


def _draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw weights that depend on their name alone."""
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    mean = float(len(shape) == 1 and name.endswith("weight"))
    return torch.from_numpy(mean + 0.1 * values).float()


@pytest.fixture
def published(tmp_path):
    """Writes a checkpoint as the authors do, after a change."""

    def write(config=SMALL, change=lambda weights: weights):
        weights = {name: _draw(name, shape) for name, shape in _layout(config).items()}
        torch.save(change(weights) or weights, tmp_path / "ema_0.9999_1000000.pt")
        return tmp_path / "ema_0.9999_1000000.pt"

    return write


def _noise(path) -> torch.Tensor:
    found = read_published(path)
    network = Adm(found.network).eval()
    network.load_state_dict(found.weights)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 8, 6))).float()
    with torch.no_grad():
        return network(x, torch.tensor([3.0, 700.0]))


def test_noise_agrees_with_the_authors_network(published):
    noise = _noise(published())
    assert noise.shape == (2, 2, 8, 6)
    pixels, norms = RECORDED
    torch.testing.assert_close(noise[:, :, 2, 3], torch.tensor(pixels), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        torch.linalg.vector_norm(noise, dim=(1, 2, 3)), torch.tensor(norms), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(
    "config",
    [
        AdmConfig(stem=32, widths=(64, 64, 128), blocks=2),
        AdmConfig(stem=32, widths=(64, 64, 128), blocks=2, attention=(0, 2)),
        AdmConfig(stem=64, widths=(32, 64), blocks=1, channels=1, outputs=2),
        AdmConfig(stem=32, widths=(64,), blocks=3, channels=1, outputs=1, attention=(0,)),
        AdmConfig(stem=32, widths=(64, 64, 64, 64), blocks=1, outputs=2, attention=(1,)),
    ],
    ids=lambda c: f"{c.widths} x {c.blocks}, {c.attention}, {c.channels} to {c.outputs}",
)
def test_architecture_is_read_off_a_checkpoint(published, config):
    found = read_published(published(config))
    assert found.network == config
    assert (found.sigma_min, found.sigma_max) == pytest.approx((0.010000500, 157.407281))
    for own, theirs in {
        "stem.weight": "input_blocks.0.0.weight",
        "middle.1.out.bias": "middle_block.1.proj_out.bias",
        f"up.{len(config.widths) - 1}.0.conv_in.weight": "output_blocks."
        f"{(len(config.widths) - 1) * (config.blocks + 1)}.0.in_layers.2.weight",
        "head.weight": "out.2.weight",
    }.items():
        value = found.weights[own]
        assert torch.equal(value, _draw(theirs, tuple(value.shape)))


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: {"step": 7, "state_dict": weights},
        lambda weights: {f"module.{name}": value for name, value in weights.items()},
        lambda weights: {"model": {name: 2 * v for name, v in weights.items()}, "ema": weights},
    ],
)
def test_where_the_weights_lie_does_not_matter(published, change):
    assert torch.equal(_noise(published(change=change)), _noise(published()))


def test_imported_model_is_a_denoiser_of_complex_images(published, tmp_path):
    """E[clean | x] of DDS, equation 4, at noise levels of its diffusion, with another scale."""
    path, scale = published(), 0.7
    found = read_published(path)
    levels = found.network.sigmas.float()
    config = ModelConfig(
        name="dds",
        network=found.network,
        input_scale=scale,
        sigma_min=found.sigma_min / scale,
        sigma_max=found.sigma_max / scale,
        training_steps=0,
    )
    named = {f"network.{key}": value for key, value in found.weights.items()}
    save_model(tmp_path / "dds", config, named, torch.float32)
    prior = load_prior(str(tmp_path / "dds"), torch.device("cpu"))
    assert not prior.any_orientation

    network = Adm(found.network).eval()
    network.load_state_dict(found.weights)
    x = torch.randn(2, 8, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    for step in (0, 3, 412, 999):
        denoised = prior.denoise(x, float(levels[step]) / scale)
        signal = 1 / (1 + levels[step] ** 2)
        scaled = torch.view_as_real(signal.sqrt() * scale * x).movedim(-1, 1)
        with torch.no_grad():
            noise = network(scaled, torch.full((2,), float(step)))
        clean = (scaled - (1 - signal).sqrt() * noise) / signal.sqrt() / scale
        expected = torch.view_as_complex(clean.movedim(1, -1).contiguous())
        torch.testing.assert_close(denoised, expected, rtol=1e-3, atol=1e-3)


def test_time_steps_lie_between_their_noise_levels():
    seen = []

    class Network(torch.nn.Module):
        def forward(self, x, timestep):
            seen.extend(timestep.tolist())
            return x

    sigmas = SMALL.sigmas
    denoiser = NoiseDenoiser(Network(), sigmas, input_scale=1.0)
    between = (sigmas[10] * sigmas[11]).sqrt()
    levels = torch.stack([sigmas[0] / 2, sigmas[10], between, sigmas[-1], 2 * sigmas[-1]]).float()
    denoiser(torch.zeros(5, 2, 4, 4), levels)
    assert seen == pytest.approx([0, 10, 10.5, 999, 999], abs=1e-2)


def _with(name, value):
    return lambda weights: weights.update({name: value})


def _without(*names):
    def change(weights):
        for name in names:
            del weights[name]

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_with("label_emb.weight", torch.zeros(10, 128)), "its images have classes"),
        (_with("input_blocks.2.0.op.weight", torch.zeros(1)), "resamples by convolutions"),
        (_with("out.2.weight", torch.zeros(3, 32, 3, 3)), "its 'outputs' .*got 3"),
        (_with("input_blocks.0.0.weight", torch.zeros(32, 3, 3, 3)), "its 'channels' .*got 3"),
        (_with("input_blocks.0.0.weight", torch.zeros(32)), "are not those of a convolution"),
        (_with("input_blocks.0.0.weight", torch.zeros(32, 1, 3, 3)), "4 outputs for 1 channels"),
        (_with("input_blocks.4.0.x", torch.zeros(1)), "5 blocks on the way down and 4 on the way"),
        (_with("out.9.weight", torch.zeros(1)), "its weights out.9.weight have no place"),
        (_with("out.0.bias", torch.zeros(32).to_sparse()), "its weights out.0.bias are no real"),
        (_with("out.0.bias", torch.tensor(1.0)), r"norm.bias has the shape \[\], expected \[32\]"),
        (_without("out.2.weight"), "it has no weights 'out.2.weight'"),
        (_without("middle_block.1.norm.bias"), "middle.1.norm.bias is missing"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_told(published, change, sentence):
    path = published(change=change)
    with pytest.raises(WeightsError, match=rf"cannot be imported: .*{sentence}.*DDS checkpoints"):
        read_published(path)


def test_heads_that_do_not_fit_are_told(published):
    narrow = AdmConfig(stem=32, widths=(32, 96), head_channels=32)
    with pytest.raises(WeightsError, match="96 channels cannot be shared by attention heads of 64"):
        read_published(published(narrow))


def test_weights_that_are_not_finite_are_refused(published):
    path = published(change=_with("out.0.bias", torch.full((32,), torch.nan)))
    with pytest.raises(WeightsError, match="not finite: its training diverged"):
        read_published(path)


def test_the_card_of_a_model_tells_what_its_checkpoint_does_not(published):
    path = published()
    found = read_published(path)
    config = ModelConfig(
        name="knee", network=found.network, sigma_min=1, sigma_max=2, training_steps=0
    )
    card = model_card(config, found, path)
    assert "Imported from `ema_0.9999_1000000.pt`, a DDS checkpoint" in card
    assert "ADM on complex images, widths 32, 128, 1 residual blocks a level, attention" in card
    assert "| training | not known |" in card
    assert ASSUMED in card


def test_averages_without_names_are_not_passed_over_in_silence(published, caplog):
    path = published(
        change=lambda weights: {"model": weights, "ema": {"shadow_params": list(weights.values())}}
    )
    assert read_published(path).network == SMALL
    assert "The averaged weights have no names" in caplog.text


def test_weights_beyond_single_precision_are_refused(published):
    path = published(change=_with("out.0.bias", torch.full((32,), 1e300, dtype=torch.float64)))
    with pytest.raises(WeightsError, match="not finite: its training diverged"):
        read_published(path)


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(WeightsError, match=r"pipe\.pt is no regular file"):
        read_published(tmp_path / "pipe.pt")
