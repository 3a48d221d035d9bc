from __future__ import annotations

import pytest
import torch

from gadget.diffusion.devices import multiplies_bfloat16, select_device
from gadget.errors import DeviceError


def test_devices_have_names():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", "mps", "meta"])
def test_a_device_that_is_not_here_is_an_error(name):
    with pytest.raises(DeviceError, match=name):
        select_device(name)


def test_only_devices_with_instructions_for_it_use_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert not multiplies_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert multiplies_bfloat16(torch.device("cpu"))
    assert not multiplies_bfloat16(torch.device("meta"))
