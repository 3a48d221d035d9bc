from __future__ import annotations

import pytest
import torch

from gadget.training.examples import Examples, batches, draw_sigma, loader_workers
from gadget.training.ranks import Ranks


def _batches(config, volumes, start=0, ranks=None, workers=0):
    examples = Examples(config, volumes, config.seed)
    return list(batches(examples, config, start, ranks or Ranks(), workers))


def _assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for name, value in one._asdict().items():
            assert torch.equal(value, getattr(other, name)), name


def test_an_example_is_that_of_its_number(make_config, volumes):
    examples = Examples(make_config(), volumes, 3)
    clean, noise, sigma = examples[5]
    assert clean.shape == noise.shape == (2, 16, 16)
    assert sigma.shape == ()
    assert all(torch.equal(*pair) for pair in zip(examples[5], (clean, noise, sigma), strict=True))
    assert not torch.equal(examples[6].noise, noise)
    assert not torch.equal(Examples(make_config(), volumes, 4)[5].noise, noise)


def test_batches_go_on_from_any_step(make_config, volumes):
    config = make_config(steps=4, batch=3)
    whole = _batches(config, volumes)
    assert [batch.clean.shape for batch in whole] == [(3, 2, 16, 16)] * 4
    assert whole[0].sigma.shape == (3,)
    _assert_same(_batches(config, volumes, start=2), whole[2:])
    assert not torch.equal(whole[0].noise[0], whole[1].noise[0])


def test_ranks_share_the_batch_of_one_process(make_config, volumes):
    config = make_config(steps=2, batch=4)
    (whole, _) = _batches(config, volumes)
    shares = [_batches(config, volumes, ranks=Ranks(rank, 2))[0] for rank in range(2)]
    joined = type(whole)(*(torch.cat(parts) for parts in zip(*shares, strict=True)))
    _assert_same([joined], [whole])


def test_processes_that_draw_ahead_change_nothing(make_config, volumes):
    config = make_config(steps=5)
    _assert_same(_batches(config, volumes, workers=2), _batches(config, volumes))


def test_a_cpu_draws_its_examples_itself(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert loader_workers(cpu, Ranks()) == 0
    assert [loader_workers(gpu, Ranks(0, size)) for size in (1, 4, 64)] == [15, 3, 1]


def test_noise_levels_are_log_normal_within_their_range(make_config):
    config = make_config(sigma_min=0.01, sigma_max=5.0)
    generator = torch.Generator().manual_seed(0)
    sigma = torch.stack([draw_sigma(config, generator) for _ in range(5_000)])
    assert (float(sigma.min()), float(sigma.max())) == pytest.approx((0.01, 5.0))
    assert float(sigma.log().median()) == pytest.approx(config.log_sigma_mean, abs=0.08)
    inner = sigma.log()[(sigma > 0.011) & (sigma < 4.9)]
    assert float(torch.quantile(inner, 0.84) - torch.quantile(inner, 0.5)) == pytest.approx(
        config.log_sigma_std, abs=0.2
    )
