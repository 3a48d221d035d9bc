from __future__ import annotations

import threading

import pytest
import torch

from gadget.diffusion.devices import exact_float32, select_device, supports_bfloat16
from gadget.errors import ConfigError


def test_devices_have_names():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", "mps", "meta"])
def test_a_device_that_is_not_here_is_an_error(name):
    with pytest.raises(ConfigError, match=name):
        select_device(name)


def test_only_devices_with_instructions_for_it_use_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert not supports_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert supports_bfloat16(torch.device("cpu"))
    assert not supports_bfloat16(torch.device("meta"))


def _tf32() -> bool:
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32


@pytest.fixture
def tf32():
    """Sets whether convolutions may use TF32, as a program does that uses the package."""
    before = torch.backends.cudnn.allow_tf32

    def allow(value: bool) -> None:
        torch.backends.cudnn.allow_tf32 = value

    yield allow
    allow(before)


@pytest.mark.parametrize("allowed", [True, False])
def test_single_precision_is_exact_for_a_while(tf32, allowed):
    tf32(allowed)
    with exact_float32:
        assert not _tf32()
    assert _tf32() == torch.backends.cudnn.allow_tf32 == allowed


def test_single_precision_is_exact_until_the_last_thread_is_out(tf32):
    tf32(True)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with exact_float32:
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with exact_float32:
        thread.start()
        assert inside.wait(60)
    assert not _tf32()
    leave.set()
    thread.join()
    assert _tf32()
