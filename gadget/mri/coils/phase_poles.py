"""Phase poles: points around which the phase that all coil sensitivities share winds.

Image and sensitivities share their phase as they like, and a joint estimate may give the
sensitivities a zero with the phase wound around it, and the image the opposite vortex. Normalised,
such maps have a singularity that no smooth function fits (Blumenthal and Uecker, Phase-pole-free
images and smooth coil sensitivity maps by regularized nonlinear inversion, arXiv:2508.04685).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.conventional.cg_sense import cg_sense_image
from gadget.mri.operators.measurement import Measurement


def remove_phase_poles(coils: CoilModel, measured: Measurement) -> CoilModel:
    """Return the same sensitivities with a smooth phase, unchanged if theirs is smooth.

    Parameters
    ----------
    coils
        Sensitivities on the field of view of the measurement.
    measured
        Tells where the object is.
    """
    maps = coils.maps
    windings = phase_windings(maps)
    if not windings.any():
        return coils
    smooth = maps * _unwinding_phase(windings)
    image = cg_sense_image(measured.sampling, smooth, measured.data)
    return coils.fitted(image, smooth * image)


def phase_windings(maps: Tensor) -> Tensor:
    """Return how often the common phase of maps `[coil, y, x]` winds around four pixels.

    `[y, x]` with one row and column less; positive where the phase rises from x to y. Between two
    pixels the phase of all coils changes by that of ``sum_c conj(S_c) S_c'``, dominated by strong
    coils.
    """
    along_x = (maps[:, :, :-1].conj() * maps[:, :, 1:]).sum(dim=0).angle()
    along_y = (maps[:, :-1].conj() * maps[:, 1:]).sum(dim=0).angle()
    around = along_x[:-1] + along_y[:, 1:] - along_x[1:] - along_y[:, :-1]
    return torch.round(around / (2 * torch.pi)).int()


def _unwinding_phase(windings: Tensor) -> Tensor:
    """Return the phase factor `[y, x]` that unwinds all windings."""
    rows, columns = (
        torch.arange(size + 1, device=windings.device, dtype=torch.float32)
        for size in windings.shape
    )
    phase = torch.zeros(len(rows), len(columns), device=windings.device)
    for y, x in torch.nonzero(windings).tolist():
        # A pole lies between pixels.
        angle = torch.atan2(rows[:, None] - (y + 0.5), columns - (x + 0.5))
        phase = phase - int(windings[y, x]) * angle
    return torch.exp(1j * phase)
