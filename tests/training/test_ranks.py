from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from gadget.training.examples import Examples, batches
from gadget.training.ranks import Ranks, local_device, process_group
from gadget.training.trainer import Trainer

TRAINING = """
    import sys
    from pathlib import Path
    import numpy as np
    import torch
    from gadget.training.config import TrainingConfig
    from gadget.training.loop import train
    from gadget.training.ranks import process_group
    from gadget.training.trainer import Trainer

    folder = Path(sys.argv[1])
    config = TrainingConfig.model_validate_json((folder / "config.json").read_text())
    volumes = [[image] for image in np.load(folder / "images.npy")]
    device = torch.device("cpu")
    told = []
    with process_group(device) as ranks:
        trainer = Trainer(config, device, ranks)
        # The second process alone is asked to stop.
        late = lambda: ranks.rank == 1 and trainer.step >= 5
        train(trainer, volumes, folder, told.append, stop=late)
        heard = trainer.step
        train(trainer, volumes, folder, told.append)
    torch.save([heard, told[-1].loss, trainer.average], folder / f"rank{ranks.rank}.pt")
"""


def test_two_processes_train_as_one(node_path, tmp_path, make_config, volumes):
    config = make_config(batch=4, steps=8, precision="float32")
    image = volumes[0][0]
    np.save(tmp_path / "images.npy", image[None])
    (tmp_path / "config.json").write_text(config.model_dump_json())
    (tmp_path / "training.py").write_text(textwrap.dedent(TRAINING))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(tmp_path / "training.py"), str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    results = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=False) for rank in range(2)]
    alone = Trainer(config, torch.device("cpu"))
    losses = []
    for batch in batches(Examples(config, [[image]], config.seed), config, 0, Ranks(), 0):
        losses.append(float(alone.update(batch)))
    for heard, loss, average in results:
        assert heard == 5
        # Since the break.
        assert loss == pytest.approx(np.mean(losses[5:]), rel=1e-4)
        for name, value in alone.average.items():
            assert torch.equal(average[name], results[0][2][name])
            torch.testing.assert_close(average[name], value, rtol=1e-3, atol=1e-5)


def test_one_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(torch.device("cpu")) as ranks:
        assert ranks == Ranks(0, 1)
        assert ranks.is_main
        assert ranks.mean(torch.tensor(3.0)) == 3
        assert ranks.any(True, torch.device("cpu")) is True


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert local_device(torch.device("cuda")) == torch.device("cuda", 2)
    assert local_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert local_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK")
    assert local_device(torch.device("cuda")) == torch.device("cuda")
