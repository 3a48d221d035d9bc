from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gadget.mri.coils import calibration
from gadget.mri.coils.calibration import calibrate
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.joint_fit import fit_jointly
from gadget.mri.coils.phase_poles import phase_windings, remove_phase_poles
from gadget.mri.conventional.cg_sense import conventional_image
from gadget.mri.operators.measurement import Measurement

POLE = (24, 15)
"""The four pixels around the pole begin there."""
WINDINGS = pytest.mark.parametrize("winding", [1, -1])


def _wound(coils: CoilModel, winding: int) -> CoilModel:
    """The same sensitivities, but all zero at the pole, with the phase wound around it."""
    y, x = (2 * (torch.arange(n) - n // 2) / n for n in coils.shape)
    from_pole_y = y[:, None] - (2 * (POLE[0] + 0.5) / coils.shape[0] - 1)
    from_pole_x = x[None, :] - (2 * (POLE[1] + 0.5) / coils.shape[1] - 1)
    factor = from_pole_x + 1j * winding * from_pole_y
    wider = coils.with_order(coils.coefficients.shape[-1] + 1)
    to_y, to_x = (torch.linalg.pinv(basis) for basis in wider.bases())
    return replace(wider, coefficients=to_y @ (coils.polynomials() * factor) @ to_x.mT)


def _measured(scan) -> Measurement:
    return Measurement(
        torch.from_numpy(scan.kspace.data[:, 0]), torch.from_numpy(scan.kspace.mask[0])
    )


def _object(scan) -> torch.Tensor:
    """Pixels that tell of the sensitivities."""
    return torch.from_numpy(np.abs(scan.image) > 0.1)


@WINDINGS
def test_a_phase_pole_is_found_where_it_is(measure, winding):
    scan = measure()
    coils = calibrate(_measured(scan))
    windings = phase_windings(_wound(coils, winding).maps)
    assert windings.shape == (47, 47)
    assert windings[POLE] == winding
    assert windings.abs().sum() == 1


def test_sensitivities_without_a_pole_stay_as_they_are(measure):
    measured = _measured(measure())
    coils = calibrate(measured)
    assert remove_phase_poles(coils, measured) is coils


@WINDINGS
def test_a_pole_of_the_joint_fit_goes_and_the_sensitivities_stay(measure, winding, monkeypatch):
    scan = measure(coils=8)
    monkeypatch.setattr(
        calibration, "fit_jointly", lambda *problem: _wound(fit_jointly(*problem), winding)
    )
    coils = calibrate(_measured(scan))
    image = conventional_image(_measured(scan), coils)
    assert not phase_windings(coils.maps)[_object(scan)[1:, 1:]].any()
    # The phase that all have in common is open.
    likeness = (coils.maps.conj() * torch.from_numpy(scan.maps)).sum(dim=0).abs()
    assert likeness[_object(scan)].min() > 0.98
    assert scan.error(image.numpy()) < 0.1
