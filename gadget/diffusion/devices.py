"""Compute devices and their numerical precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gadget.errors import ConfigError, DeviceMemoryError


def select_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is CUDA where there is one.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    # Others that torch has names for lack complex numbers, or are no devices to compute on.
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"'{name}' is no device; expected auto, cpu, cuda or cuda:0, cuda:1, ...")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"The device '{name}' is not here (CUDA devices found: {torch.cuda.device_count()}); "
            "set device to auto or cpu."
        )
    return device


def supports_bfloat16(device: torch.device) -> bool:
    """Tell whether `device` has instructions for bfloat16, which then are twice as fast."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


@contextmanager
def explain_out_of_memory(message: str) -> Iterator[None]:
    """Turn an out-of-memory error, of the CPU too, into a sentence that says what to do.

    Raises
    ------
    DeviceMemoryError
        The memory is too small; with `message`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # For a CPU, PyTorch has no class of errors.
        full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not full and "DefaultCPUAllocator" not in str(error):
            raise
        raise DeviceMemoryError(message) from error


class ExactFloat32:
    """Context in which convolutions are true single precision, not TF32 as PyTorch's default.

    TF32 rounds what is multiplied to 11 bits. PyTorch has one setting for all threads: the first
    one that enters changes it, and the last one that leaves restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: object = None

    def __enter__(self) -> None:
        module, name, exact = _convolution_precision()
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = getattr(module, name)
                setattr(module, name, exact)

    def __exit__(self, *error: object) -> None:
        module, name, _ = _convolution_precision()
        with self._lock:
            self._inside -= 1
            if not self._inside:
                setattr(module, name, self._before)


def _convolution_precision() -> tuple[object, str, object]:
    """Return where PyTorch keeps the setting, its name, and its value for exact results."""
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # since PyTorch 2.9, where the older name is for the older program
        return cudnn.conv, "fp32_precision", "ieee"
    return cudnn, "allow_tf32", False


exact_float32 = ExactFloat32()
