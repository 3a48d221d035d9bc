"""sigpy and BART on a scan that every one of them can solve."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from gadget.errors import ConfigError, ReconError
from gadget.evaluation.methods import with_bart, with_sigpy
from gadget.evaluation.methods.method import REGULARISATION
from gadget.evaluation.methods.with_bart import Bart, BartMaps, read_cfl, write_cfl
from gadget.evaluation.methods.with_sigpy import Sigpy, SigpyMaps
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.patterns import parse_pattern

needs_bart = pytest.mark.skipif(not shutil.which("bart"), reason="BART is not installed")


@pytest.fixture(scope="module")
def kspace(case):
    return case.undersampled(parse_pattern("uniform1d:3:0.3"), 0)


def error(image, case):
    return np.linalg.norm(image - case.truth) / np.linalg.norm(case.truth)


def sigpy_methods():
    pytest.importorskip("sigpy")
    maps = SigpyMaps()
    return [Sigpy(app, maps) for app in with_sigpy.APPS]


def bart_methods():
    maps = BartMaps()
    return [Bart(penalty, maps) for penalty in with_bart.PENALTIES]


@pytest.mark.parametrize("methods", [sigpy_methods, pytest.param(bart_methods, marks=needs_bart)])
def test_peers_reconstruct_in_the_scale_of_the_data(methods, kspace, case):
    folded = error(np.sqrt((np.abs(ifftc(kspace.data[:, 0])) ** 2).sum(0)), case)
    for method in methods():
        estimates = list(method.reconstruct(kspace))
        assert [one.setting for one in estimates] == [f"{w:g}" for w in REGULARISATION]
        assert estimates[0].image.dtype == np.float32
        assert min(error(one.image, case) for one in estimates) < 0.8 * folded, method.name
        assert len({float(one.image.sum()) for one in estimates}) == 3


@needs_bart
def test_peers_manage_without_a_centre(case):
    """Nonlinear inversion needs no calibration lines."""
    kspace = case.undersampled(parse_pattern("uniform1d:2"), 0)
    maps, seconds = BartMaps().of(kspace)
    assert seconds > 0
    power = (np.abs(maps) ** 2).sum(0)
    np.testing.assert_allclose(power[case.truth > 0], 1, atol=1e-3)


@needs_bart
def test_maps_are_shared_by_methods_and_made_anew_for_another_scan(kspace, case):
    maps = BartMaps()
    first, seconds = maps.of(kspace)
    again, same = maps.of(kspace)
    assert again is first
    assert same == seconds
    other, _ = maps.of(case.undersampled(parse_pattern("uniform1d:1"), 0))
    assert np.abs(other - first).max() > 0.01


@needs_bart
def test_files_of_bart(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.complex64)
    write_cfl(tmp_path / "a", array)
    np.testing.assert_array_equal(read_cfl(tmp_path / "a"), array)
    BartMaps().run(tmp_path, "transpose", "0", "1", "a", "b")
    np.testing.assert_array_equal(read_cfl(tmp_path / "b"), array.swapaxes(1, 2))


@needs_bart
def test_bart_that_fails_says_why(tmp_path):
    with pytest.raises(ReconError, match=r"'bart fft 7 nothing out' failed: .*nothing"):
        BartMaps().run(tmp_path, "fft", "7", "nothing", "out")


def test_bart_that_is_not_there(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="need its command 'bart' on the PATH"):
        BartMaps()
