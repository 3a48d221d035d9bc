"""Where to compute, and with what numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gadget.errors import DeviceError


def select_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is CUDA where there is one.

    Raises
    ------
    DeviceError
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
        raise DeviceError(f"'{name}' is no device; expected auto, cpu, cuda or cuda:0, cuda:1, ...")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"The device '{name}' is not here (CUDA devices found: {torch.cuda.device_count()}); "
            "set device to auto or cpu."
        )
    return device


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether `device` has instructions for bfloat16, which then are twice as fast."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


@contextmanager
def memory_needed(sentence: str) -> Iterator[None]:
    """Say what to do when the memory of a device, the CPU's included, is too small.

    Raises
    ------
    DeviceError
        It is; the message is `sentence`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # For a CPU, PyTorch has no class of errors.
        full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not full and "DefaultCPUAllocator" not in str(error):
            raise
        raise DeviceError(sentence) from error


class ExactFloat32:
    """Convolutions in single precision as they are, and not in TF32 as PyTorch does on its own.

    TF32 rounds what is multiplied to 11 bits. PyTorch has one setting for all threads: the first
    one in changes it, and the last one out leaves it as the program had it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: object = None

    def __enter__(self) -> None:
        place, name, exact = _setting_of_convolutions()
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = getattr(place, name)
                setattr(place, name, exact)

    def __exit__(self, *error: object) -> None:
        place, name, _ = _setting_of_convolutions()
        with self._lock:
            self._inside -= 1
            if not self._inside:
                setattr(place, name, self._before)


def _setting_of_convolutions() -> tuple[object, str, object]:
    """Return where PyTorch keeps the setting, its name, and its value for exact results."""
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # since PyTorch 2.9, where the older name is for the older program
        return cudnn.conv, "fp32_precision", "ieee"
    return cudnn, "allow_tf32", False


exact_float32 = ExactFloat32()
