from __future__ import annotations

import nibabel
import numpy as np
import pytest

from gadget.errors import ConfigError, DataError
from gadget.evaluation.cases import Receiver
from gadget.evaluation.sources import find_inputs, load_cases

RECEIVER = Receiver(coils=3, noise=0.001)


def normal(image):
    return image / np.linalg.norm(image)


def test_inputs_are_found(tmp_path):
    for name in ("b.nii.gz", "a.npy", "notes.txt", "deep/c.h5", "deep/D.NII.GZ"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    first = str(tmp_path / "b.nii.gz")
    found = find_inputs([first, str(tmp_path), "phantom:fruit"])
    names = [name.removeprefix(f"{tmp_path}/") for name in found]
    assert names == ["b.nii.gz", "a.npy", "deep/D.NII.GZ", "deep/c.h5", "phantom:fruit"]
    assert find_inputs([str(tmp_path / "deep/D.NII.GZ")]) == found[2:3]


@pytest.mark.parametrize("text", ["nowhere", "phantom:apple", "notes.txt"])
def test_what_is_no_input(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=f"'{text}' is no input; expected a folder, a file"):
        find_inputs([text])


def test_a_folder_without_scans(tmp_path):
    with pytest.raises(ConfigError, match="holds no file ending in"):
        find_inputs([str(tmp_path)])


def test_volumes_are_cut_across_the_coarsest_axis_and_turned_upright(tmp_path, phantom):
    """Stored feet first and left to right, and still the head comes out upright."""
    head = phantom((40, 32), centre=(-0.1, 0.05))
    volume = np.stack([head * (1 + k) for k in range(6)])
    # Axes of the array: inferior, posterior, left.
    stored = volume[::-1]
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -5, -1, -1, 1
    path = tmp_path / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stored.astype(np.float32), affine), path)
    (case,) = load_cases(str(path), 1, RECEIVER)
    assert (case.name, case.number) == ("head.nii.gz", 3)
    upright = np.rot90(case.truth, case.quarter_turns)
    # The image that was stored shows posterior down and left to the right: radiological.
    np.testing.assert_allclose(normal(upright), normal(head), atol=0.02)


def test_isotropic_volumes_are_cut_transversally(tmp_path):
    volume = np.random.default_rng(0).random((10, 12, 14)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "cube.nii")
    cases = list(load_cases(str(tmp_path / "cube.nii"), 2, RECEIVER))
    assert [case.truth.shape for case in cases] == [(10, 12)] * 2


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 1), (12, 14, 1, 1)])
def test_a_slice_of_cubes_is_cut_in_its_plane(tmp_path, axes, shape):
    affine = np.zeros((4, 4))
    affine[(*axes, 3), range(4)] = 1
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "slice.nii")
    (case,) = load_cases(str(tmp_path / "slice.nii"), 2, RECEIVER)
    assert case.truth.shape == (12, 14)


def test_numpy_images_magnitude_or_complex(tmp_path, phantom):
    head = phantom((24, 20))
    np.save(tmp_path / "one.npy", head)
    np.save(tmp_path / "several.npy", np.stack([head, head * 1j, -head, head]))
    (one,) = load_cases(str(tmp_path / "one.npy"), 2, RECEIVER)
    assert (one.number, one.quarter_turns, one.truth.shape) == (0, 0, (24, 20))
    several = list(load_cases(str(tmp_path / "several.npy"), 2, RECEIVER))
    assert [case.number for case in several] == [1, 2]
    for case in several:
        np.testing.assert_allclose(normal(case.truth), normal(head), atol=0.02)


def test_suffixes_count_in_upper_case_too(tmp_path, phantom):
    head = phantom((24, 20)).astype(np.float32)
    image = nibabel.Nifti1Image(head[:, :, None], np.diag([1, 1, 5, 1]))
    nibabel.save(image, tmp_path / "HEAD.NII.GZ")
    with (tmp_path / "HEAD.NPY").open("wb") as file:
        np.save(file, head)
    for name in ("HEAD.NII.GZ", "HEAD.NPY"):
        (case,) = load_cases(str(tmp_path / name), 1, RECEIVER)
        assert sorted(case.truth.shape) == [20, 24]


def test_a_slice_that_is_empty_costs_no_other(tmp_path, phantom, caplog):
    head = phantom((24, 20))
    path = tmp_path / "gap.npy"
    np.save(path, np.stack([head, 0 * head, np.nan * head, head]))
    cases = list(load_cases(str(path), 4, RECEIVER))
    assert [case.number for case in cases] == [0, 3]
    for number in (1, 2):
        assert f"Left out of '{path}': Slice {number} of 'gap.npy' is empty or holds" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("flat.npy", np.ones(5), r"must hold images \[slice, y, x\] or \[y, x\], got shape \[5\]"),
        ("none.npy", np.ones((0, 64, 64)), r"none\.npy' holds no slice"),
        ("dark.npy", np.zeros((3, 64, 64)), r"Slice 1 of 'dark\.npy' is empty"),
        (
            "thin.npy",
            np.ones((6, 64)),
            r"Slice 0 of 'thin\.npy' has 6 x 64 pixels; expected",
        ),
        ("broken.npy", b"no array", "is no readable NumPy file"),
        ("text.npy", np.array(["a", "b"]), "is no readable NumPy file"),
        ("broken.nii", b"no image", "is no readable NIfTI file"),
        ("BROKEN.H5", b"no raw data", "is not a readable HDF5 file"),
        ("coloured.nii", np.zeros((4, 4, 4), [(c, "u1") for c in "RGB"]), "no numbers but of type"),
        ("series.nii", np.ones((4, 4, 4, 2)), r"must hold one 3D volume, got shape \[4, 4, 4, 2\]"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name.endswith(".npy"):
        np.save(path, content)
    else:
        nibabel.save(nibabel.Nifti1Image(content, np.eye(4)), path)
    with pytest.raises(DataError, match=message):
        next(load_cases(str(path), 1, RECEIVER))


def test_phantoms_have_as_many_slices_as_are_asked_for():
    for name in ("phantom:head", "phantom:fruit"):
        assert len(list(load_cases(name, 40, RECEIVER, (16, 16)))) == 40


def test_phantoms_need_no_file():
    head, fruit = (
        next(load_cases(name, 1, RECEIVER)) for name in ("phantom:head", "phantom:fruit")
    )
    assert head.truth.shape == fruit.truth.shape == (256, 256)
    assert np.corrcoef(head.truth.ravel(), fruit.truth.ravel())[0, 1] < 0.9


@pytest.mark.parametrize("name", ["gone.npy", "gone.nii"])
def test_a_file_that_is_gone_is_told_in_words(name, tmp_path):
    with pytest.raises(DataError, match=r": No such file [^:]*") as told:
        list(load_cases(str(tmp_path / name), 1, RECEIVER))
    assert "Errno" not in str(told.value)
