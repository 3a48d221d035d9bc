from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mri.scale import image_scale
from gadget.training.images import load_volumes


@pytest.fixture
def head(phantom):
    """A stack of slices `[slice, y, x]`."""
    return (400 * phantom((72, 80)) * np.linspace(0.8, 1, 3)[:, None, None]).astype(np.float32)


def _nifti(path, array, zooms=(1.0, 1.0, 5.0)):
    image = nibabel.Nifti1Image(array, np.diag([*zooms, 1.0]))
    nibabel.save(image, path)
    return path


def test_slices_are_scaled_to_bright_tissue(tmp_path, head):
    np.save(tmp_path / "head.npy", head)
    ((first, *others),) = load_volumes(tmp_path)
    assert len(others) == 2
    assert first.dtype == np.float16
    volume = np.stack([first, *others]).astype(np.float32)
    assert image_scale(volume) == pytest.approx(1, rel=1e-2)
    # One scale for the file: slices keep their brightness beside each other.
    np.testing.assert_allclose(volume * volume.max() ** -1, head / head.max(), atol=2e-3)


def test_numpy_files_of_one_slice_and_of_complex_values(tmp_path, head):
    np.save(tmp_path / "a.npy", head[0])
    np.save(tmp_path / "b.npy", head * np.complex64(1j))
    one, several = load_volumes(tmp_path)
    assert (len(one), len(several)) == (1, 3)


def test_files_are_found_in_folders_below(tmp_path, head):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    np.save(tmp_path / "deep" / "er" / "head.npy", head)
    assert len(load_volumes(tmp_path)) == 1


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
def test_slices_of_thick_nifti_are_cut_in_plane(tmp_path, head, name):
    _nifti(tmp_path / name, np.moveaxis(head, 0, 2))
    (volume,) = load_volumes(tmp_path)
    assert [one.shape for one in volume] == [(72, 80)] * 3


def test_isotropic_nifti_is_cut_from_every_side(tmp_path, phantom):
    cube = phantom((72, 80))[:, :, None] * np.hanning(70).astype(np.float32)
    _nifti(tmp_path / "head.nii", cube.astype(np.float32), (1.0, 1.0, 1.0))
    (volume,) = load_volumes(tmp_path)
    assert {one.shape for one in volume} == {(72, 80), (72, 70), (80, 70)}


def test_slices_of_no_use_are_left_out(tmp_path, head):
    spoilt = np.concatenate([head] * 3)
    spoilt[1] = 0
    spoilt[2, 3, 3] = np.nan
    spoilt[3] *= -1
    spoilt[4] *= 0.01
    spoilt[5, 0, 0] = -0.01 * head.max()
    np.save(tmp_path / "head.npy", spoilt)
    (volume,) = load_volumes(tmp_path)
    assert len(volume) == 5
    assert all((one >= 0).all() for one in volume)


def _not_nifti(path, head):
    (path / "rubbish.nii").write_bytes(b"This is no image." * 40)


def _cut_nifti(path, head):
    _nifti(path / "rubbish.nii", np.moveaxis(head, 0, 2))
    content = (path / "rubbish.nii").read_bytes()
    (path / "rubbish.nii").write_bytes(content[: len(content) // 2])


def _cut_gzip(path, head):
    _nifti(path / "whole.nii", np.moveaxis(head, 0, 2))
    content = gzip.compress((path / "whole.nii").read_bytes())
    (path / "whole.nii").unlink()
    (path / "rubbish.nii.gz").write_bytes(content[: len(content) // 2])


def _broken_gzip(path, head):
    _cut_gzip(path, head)
    content = bytearray((path / "rubbish.nii.gz").read_bytes())
    content[40:60] = b"\xff" * 20
    (path / "rubbish.nii.gz").write_bytes(content)


def _not_gzip(path, head):
    (path / "rubbish.nii.gz").write_bytes(b"no gzip")


def _diffusion_nifti(path, head):
    _nifti(path / "rubbish.nii", np.stack([head] * 4))


def _empty_npy(path, head):
    (path / "rubbish.npy").write_bytes(b"")


def _cut_npy(path, head):
    np.save(path / "rubbish.npy", head)
    content = (path / "rubbish.npy").read_bytes()
    (path / "rubbish.npy").write_bytes(content[:-100])


def _pickle_npy(path, head):
    np.save(path / "rubbish.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _text_npy(path, head):
    np.save(path / "rubbish.npy", np.full((64, 64), "text"))


def _flat_npy(path, head):
    np.save(path / "rubbish.npy", np.ones(100))


def _dark_npy(path, head):
    np.save(path / "rubbish.npy", np.zeros_like(head))


def _small_npy(path, head):
    np.save(path / "rubbish.npy", head[:, :60])


RUBBISH = [
    _not_nifti,
    _cut_nifti,
    _cut_gzip,
    _broken_gzip,
    _not_gzip,
    _diffusion_nifti,
    _empty_npy,
    _cut_npy,
    _pickle_npy,
    _text_npy,
    _flat_npy,
    _dark_npy,
    _small_npy,
]


@pytest.mark.parametrize("spoil", RUBBISH, ids=lambda spoil: spoil.__name__.strip("_"))
def test_rubbish_is_named_in_the_log_and_left_out(tmp_path, head, caplog, spoil):
    np.save(tmp_path / "head.npy", head)
    spoil(tmp_path, head)
    assert len(load_volumes(tmp_path)) == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "rubbish" in warning
    assert "is left out: " in warning


def test_other_files_do_not_matter(tmp_path, head, caplog):
    np.save(tmp_path / "head.npy", head)
    (tmp_path / "README.txt").write_text("Heads.")
    assert len(load_volumes(tmp_path)) == 1
    assert not caplog.records


def test_a_folder_without_a_usable_image_is_an_error(tmp_path, head):
    sentence = "holds no usable magnitude image"
    with pytest.raises(DataError, match=sentence):
        load_volumes(tmp_path)
    _small_npy(tmp_path, head)
    with pytest.raises(DataError, match=sentence):
        load_volumes(tmp_path)
    with pytest.raises(DataError, match=sentence):
        load_volumes(tmp_path / "nowhere")
