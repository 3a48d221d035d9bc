from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from gadget.diffusion.networks.unet import NoiseEmbedding, UNet, UNetConfig


def _network(config: UNetConfig) -> UNet:
    """A network that does not start as zero, as after some training."""
    torch.manual_seed(0)
    network = UNet(config)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network.requires_grad_(False)


def _image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(widths=(8,), blocks=1, patch=1, embedding=8),
        UNetConfig(widths=(8, 12, 16), blocks=2, patch=2, embedding=16),
        UNetConfig(widths=(8, 8), blocks=1, patch=4, embedding=8),
    ],
)
def test_shapes_and_size_multiple(config):
    network = _network(config)
    assert config.size_multiple == config.patch * 2 ** (len(config.widths) - 1)
    size = 2 * config.size_multiple, 3 * config.size_multiple
    assert network(_image(2, 2, *size), torch.zeros(2)).shape == (2, 2, *size)


def test_a_new_network_gives_zero(tiny_network):
    """So that the preconditioned denoiser starts as the best linear one."""
    assert not UNet(tiny_network)(_image(1, 2, 16, 16), torch.zeros(1)).any()


def test_images_of_a_batch_do_not_depend_on_each_other(tiny_network):
    network = _network(tiny_network)
    images, levels = _image(3, 2, 16, 16), torch.tensor([-3.0, 0.0, 2.0])
    together = network(images, levels)
    for i in range(3):
        alone = network(images[i : i + 1], levels[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_the_noise_level_matters(tiny_network):
    network, image = _network(tiny_network), _image(1, 2, 16, 16)
    low, high = (network(image, torch.tensor([level])) for level in (-4.0, 1.0))
    assert (low - high).abs().max() > 1e-3


def test_a_pixel_depends_on_its_surroundings_only(tiny_network):
    """Patches, whole slices and padded slices agree: the middle does not see the edge."""
    network = _network(tiny_network)
    image = _image(1, 2, 96, 96)
    whole = network(image, torch.zeros(1))
    part = network(image[..., 24:72, 24:72], torch.zeros(1))
    torch.testing.assert_close(part[..., 20:28, 20:28], whole[..., 44:52, 44:52])


def test_noise_levels_have_different_embeddings():
    embedding = NoiseEmbedding(16).requires_grad_(False)
    features = embedding(torch.linspace(-6, 2.5, 40))
    distances = torch.cdist(features, features) + 99 * torch.eye(40)
    assert distances.min() > 1e-3
    assert "frequencies" not in embedding.state_dict()


@pytest.mark.parametrize(
    ("changed", "setting"),
    [({"kind": "transformer"}, "kind"), ({"widths": ()}, "widths"), ({"depth": 3}, "depth")],
)
def test_impossible_networks_are_refused(changed, setting):
    with pytest.raises(ValidationError, match=setting):
        UNetConfig(**changed)
