from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gadget.errors import ConfigError, WeightsError
from gadget.evaluation.methods import with_fastmri
from gadget.evaluation.methods.with_fastmri import FIRST, FastMriUNet, FastMriVarNet
from gadget.mri.sampling.patterns import parse_pattern


@pytest.fixture
def models():
    return pytest.importorskip("fastmri.models")


@pytest.fixture
def kspace(case):
    return case.undersampled(parse_pattern("uniform1d:2:0.2"), 0)


def test_weights_that_are_not_there():
    with pytest.raises(ConfigError, match="give them as varnet:FILE"):
        FastMriVarNet("nowhere.pt", "cpu")
    with pytest.raises(ConfigError, match="'' do not exist; give them as unet:FILE"):
        FastMriUNet("", "cpu")


def test_a_file_that_holds_no_weights(tmp_path):
    for content in ("weights", ""):
        (tmp_path / "weights.pt").write_text(content)
        with pytest.raises(WeightsError, match="cannot be read"):
            FastMriUNet(str(tmp_path / "weights.pt"), "cpu")


@pytest.mark.parametrize("content", [[torch.zeros(3)], {"state_dict": 5}, 7])
def test_a_file_that_holds_something_else(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="are no weights: expected a state dict or a Lightning"):
        FastMriUNet(str(tmp_path / "weights.pt"), "cpu")


@pytest.mark.parametrize("content", [{3: torch.zeros(3), "a": 5}, {FIRST: torch.tensor(1.0)}])
def test_weights_of_no_network(monkeypatch, tmp_path, content):
    monkeypatch.setattr(with_fastmri, "_models", lambda: SimpleNamespace(Unet=None))
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="are not those of this network"):
        FastMriUNet(str(tmp_path / "weights.pt"), "cpu")


@pytest.mark.parametrize("prefix", ["", "unet."])
def test_unet(models, tmp_path, kspace, case, prefix):
    """Of its own files, and of checkpoints of a training."""
    network = models.Unet(1, 1, chans=4, num_pool_layers=2)
    state = {prefix + name: value for name, value in network.state_dict().items()}
    # Without its last weights it gives the mean of its input everywhere.
    for name in ("weight", "bias"):
        state[f"{prefix}up_conv.1.1.{name}"] *= 0
    torch.save({"state_dict": state} if prefix else state, tmp_path / "unet.pt")
    (estimate,) = FastMriUNet(str(tmp_path / "unet.pt"), "cpu").reconstruct(kspace)
    assert estimate.image.shape == case.truth.shape
    assert np.ptp(estimate.image) < 1e-3
    assert estimate.image.mean() == pytest.approx(case.truth.mean(), rel=0.1)
    assert estimate.evaluations == 1


def test_varnet(models, tmp_path, kspace, case):
    network = models.VarNet(num_cascades=2, sens_chans=3, sens_pools=2, chans=4, pools=3)
    torch.save(network.state_dict(), tmp_path / "varnet.pt")
    (estimate,) = FastMriVarNet(str(tmp_path / "varnet.pt"), "cpu").reconstruct(kspace)
    assert estimate.image.shape == case.truth.shape
    # Untrained, and still consistent with the data: the head is where it was.
    assert np.corrcoef(estimate.image.ravel(), case.truth.ravel())[0, 1] > 0.5


def test_weights_of_another_network(models, tmp_path):
    torch.save(models.Unet(1, 1, 4, 2).state_dict(), tmp_path / "unet.pt")
    with pytest.raises(WeightsError, match="are not those of this network"):
        FastMriVarNet(str(tmp_path / "unet.pt"), "cpu")
