"""Where to compute, and with what numbers."""

from __future__ import annotations

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
