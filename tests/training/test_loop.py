from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from gadget.diffusion.networks.unet import UNetConfig
from gadget.errors import ConfigError, DataError
from gadget.training import loop
from gadget.training.config import TrainingConfig
from gadget.training.loop import Trainer, draw_sigma, learning_rate, train, weighted_loss

CPU = torch.device("cpu")
NETWORK = UNetConfig(widths=(8, 8), blocks=1, patch=2, embedding=8)


def _config(**changed) -> TrainingConfig:
    values = {
        "name": "tiny",
        "network": NETWORK,
        "steps": 12,
        "batch": 2,
        "patch": 16,
        "warmup": 3,
        "learning_rate": 2e-3,
    }
    return TrainingConfig(**(values | changed))


@pytest.fixture(scope="module")
def volumes(phantom):
    return [[phantom((64, 72)).astype(np.float16)], [phantom((80, 64)).astype(np.float16)] * 2]


def _silent(progress) -> None:
    pass


class Killed(Exception):  # noqa: N818 - no error, but what a test does
    """Ends a training in the middle."""


def _weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    state = trainer.denoiser.state_dict()
    return {**state, **{f"average.{k}": v for k, v in trainer.average.items()}}


def _assert_same(one: Trainer, other: Trainer) -> None:
    ours, theirs = _weights(one), _weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def _loss(trainer: Trainer, volumes) -> float:
    """Of batches that the training does not see."""
    sampler = loop.PatchSampler(volumes, trainer.config.patch, seed=99)
    losses = []
    for step in range(6):
        clean, generator = sampler.batch(8, step)
        sigma = draw_sigma(trainer.config, 8, generator)
        noise = torch.randn(clean.shape, generator=generator) * sigma[:, None, None, None]
        with torch.no_grad():
            denoised = trainer.denoiser(clean + noise, sigma)
        losses.append(weighted_loss(denoised, clean, sigma, trainer.config.sigma_data).mean())
    return float(torch.stack(losses).mean())


def test_the_loss_falls(tmp_path, volumes):
    told = []
    trainer = Trainer(_config(steps=200, batch=4, learning_rate=5e-3, precision="float32"), CPU)
    before = _loss(trainer, volumes)
    train(trainer, volumes, tmp_path, told.append)
    assert _loss(trainer, volumes) < 0.85 * before
    assert [progress.step for progress in told] == [50, 100, 150, 200]
    assert all(progress.steps == 200 for progress in told)
    assert told[-1].loss < told[0].loss


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_recipe_is_one_model_bit_for_bit(tmp_path, volumes, precision):
    trainers = [Trainer(_config(steps=4, precision=precision), CPU) for _ in range(2)]
    for trainer, name in zip(trainers, "ab", strict=True):
        (tmp_path / name).mkdir()
        train(trainer, volumes, tmp_path / name, _silent)
    _assert_same(*trainers)
    other = Trainer(_config(steps=4, precision=precision, seed=1), CPU)
    assert any(
        not torch.equal(value, _weights(other)[name])
        for name, value in _weights(trainers[0]).items()
    )


@pytest.mark.parametrize("at", [1, 5, 11])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, volumes, monkeypatch, at):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = Trainer(_config(), CPU)
    train(whole, volumes, tmp_path / "whole", _silent)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    stopped = Trainer(_config(), CPU)
    update = stopped.update

    def killed_later(sampler):
        if stopped.step == at:
            raise Killed
        return update(sampler)

    monkeypatch.setattr(stopped, "update", killed_later)
    with pytest.raises(Killed):
        train(stopped, volumes, tmp_path / "parts", _silent)
    torch.manual_seed(999)
    resumed = Trainer(_config(), CPU)
    train(resumed, volumes, tmp_path / "parts", _silent)
    assert resumed.step == 12
    _assert_same(whole, resumed)


TRAINING = """
    import sys
    from pathlib import Path
    import numpy as np
    import torch
    from gadget.training import loop
    from gadget.training.config import TrainingConfig

    folder = Path(sys.argv[1])
    loop.CHECKPOINT_SECONDS = -1.0
    config = TrainingConfig.model_validate_json((folder / "config.json").read_text())
    volumes = [[image] for image in np.load(folder / "images.npy")]
    loop.train(loop.Trainer(config, torch.device("cpu")), volumes, folder, print)
"""


def test_a_killed_process_leaves_a_checkpoint_to_go_on_from(tmp_path, volumes):
    config = _config(steps=100_000)
    images = np.stack([volumes[0][0]])
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(TRAINING), str(tmp_path)])
    checkpoint = tmp_path / "checkpoint.pt"
    deadline = time.monotonic() + 60
    try:
        while not checkpoint.exists() or process.poll() is not None:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    resumed = Trainer(config, CPU)
    resumed.load(checkpoint)
    assert resumed.step >= 1
    # The same number of steps without a break.
    (tmp_path / "again").mkdir()
    again = Trainer(config, CPU)
    sampler = loop.PatchSampler([[images[0]]], config.patch, config.seed)
    for _ in range(resumed.step):
        again.update(sampler)
    _assert_same(again, resumed)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    trainer = Trainer(_config(), CPU)
    trainer.step = 3
    trainer.save(tmp_path / "checkpoint.pt")

    def cut(state, path):
        path.write_bytes(b"half a checkp")
        raise Killed

    monkeypatch.setattr(torch, "save", cut)
    trainer.step = 4
    with pytest.raises(Killed):
        trainer.save(tmp_path / "checkpoint.pt")
    resumed = Trainer(_config(), CPU)
    resumed.load(tmp_path / "checkpoint.pt")
    assert resumed.step == 3


def test_a_finished_training_does_nothing_and_can_be_prolonged(tmp_path, volumes):
    trainer = Trainer(_config(steps=3), CPU)
    train(trainer, volumes, tmp_path, _silent)
    told = []
    again = Trainer(_config(steps=3), CPU)
    train(again, volumes, tmp_path, told.append)
    assert told == []
    _assert_same(trainer, again)
    longer = Trainer(_config(steps=5), CPU)
    train(longer, volumes, tmp_path, told.append)
    assert longer.step == told[-1].step == 5


@pytest.mark.parametrize(
    ("changed", "named"), [({"batch": 3}, "batch"), ({"seed": 1, "patch": 32}, "seed, patch")]
)
def test_a_checkpoint_of_another_recipe_is_an_error(tmp_path, volumes, changed, named):
    train(Trainer(_config(steps=1), CPU), volumes, tmp_path, _silent)
    with pytest.raises(ConfigError, match=rf"another recipe \(different: {named}\)"):
        train(Trainer(_config(**changed), CPU), volumes, tmp_path, _silent)


def test_a_loss_that_is_no_number_is_an_error(tmp_path, volumes, monkeypatch):
    trainer = Trainer(_config(steps=1), CPU)
    monkeypatch.setattr(trainer, "update", lambda sampler: _advance(trainer, float("nan")))
    with pytest.raises(DataError, match="The loss is nan at step 1: lower the learning rate"):
        train(trainer, volumes, tmp_path, _silent)
    assert not (tmp_path / "checkpoint.pt").exists()


def _advance(trainer: Trainer, loss: float) -> torch.Tensor:
    trainer.step += 1
    return torch.tensor(loss)


def test_the_average_lags_behind_the_weights(volumes):
    trainer = Trainer(_config(ema_share=0.5), CPU)
    start = {k: v.clone() for k, v in trainer.denoiser.state_dict().items()}
    sampler = loop.PatchSampler(volumes, 16, 0)
    for _ in range(10):
        trainer.update(sampler)
    now = trainer.denoiser.state_dict()
    name = "network.head.weight"
    moved = (now[name] - start[name]).norm()
    followed = (trainer.average[name] - start[name]).norm()
    assert 0 < followed < moved


def test_the_average_of_the_first_step_is_the_weights(volumes):
    trainer = Trainer(_config(ema_share=0.9), CPU)
    trainer.update(loop.PatchSampler(volumes, 16, 0))
    for name, value in trainer.denoiser.state_dict().items():
        torch.testing.assert_close(trainer.average[name], value)


def test_noise_levels_are_log_normal_within_their_range():
    config = _config(sigma_min=0.01, sigma_max=5.0)
    sigma = draw_sigma(config, 20_000, torch.Generator().manual_seed(0))
    assert (float(sigma.min()), float(sigma.max())) == pytest.approx((0.01, 5.0))
    assert float(sigma.log().median()) == pytest.approx(config.log_sigma_mean, abs=0.05)
    inner = sigma.log()[(sigma > 0.011) & (sigma < 4.9)]
    assert float(torch.quantile(inner, 0.84) - torch.quantile(inner, 0.5)) == pytest.approx(
        config.log_sigma_std, abs=0.2
    )


@pytest.mark.parametrize("sigma", [0.01, 0.25, 5.0])
def test_the_best_linear_denoiser_has_the_loss_one(sigma):
    """So that every noise level counts the same."""
    generator = torch.Generator().manual_seed(0)
    clean = 0.25 * torch.randn(2, 2, 128, 128, generator=generator)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    denoised = noisy * 0.25**2 / (0.25**2 + sigma**2)
    loss = weighted_loss(denoised, clean, torch.full((2,), sigma), 0.25)
    torch.testing.assert_close(loss, torch.ones(2), rtol=0.03, atol=0)


def test_the_learning_rate_rises_stays_and_falls():
    config = _config(steps=100, warmup=10, cooldown=0.3, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(101)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:71], 1)
    np.testing.assert_allclose(rates[70:], np.linspace(1, 0, 31), atol=1e-12)
    assert learning_rate(_config(steps=10, cooldown=0, warmup=1), 9) == pytest.approx(2e-3)
