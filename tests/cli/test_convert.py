from __future__ import annotations

import h5py
import numpy as np
import pytest

from gadget.mrd.images.reader import read_images

pytest.importorskip("nibabel")
pytest.importorskip("pydicom")
pytest.importorskip("matplotlib")


def test_images_become_files_of_all_kinds(run, raw, tmp_path):
    import nibabel
    import pydicom

    done = run(
        *("convert", raw, "--group", "truth", "--raw", raw),
        *("--nifti", "n", "--dicom", "d", "--png", "p"),
    )
    assert done.returncode == 0
    assert done.stdout == "2 images: n, d, p\n"
    assert done.stderr == ""
    images = read_images(raw, "truth")
    volume = nibabel.load(tmp_path / "n" / "series_0.nii.gz")
    expected = np.stack([image.data[0, 0].T for image in images], axis=-1)
    np.testing.assert_array_equal(np.asarray(volume.dataobj), expected)
    files = sorted((tmp_path / "d" / "series_0").iterdir())
    assert [path.name for path in files] == ["image_0001.dcm", "image_0002.dcm"]
    assert pydicom.dcmread(files[0]).ProtocolName == "score-gadget simulation"
    assert len(list((tmp_path / "p").iterdir())) == 2


def test_a_header_beside_the_images_counts(run, raw, tmp_path):
    import pydicom

    with h5py.File(raw, "r+") as file:
        file["truth/xml"] = file["dataset/xml"][()]
        del file["dataset"]
    done = run("convert", raw, "--dicom", "d")
    assert done.stderr == ""
    (path, _) = sorted((tmp_path / "d").rglob("*.dcm"))
    assert pydicom.dcmread(path).Manufacturer == "score-gadget"


@pytest.mark.parametrize("group", ["scan/images/image_0", "scan"])
def test_a_header_beside_the_images_counts_for_a_series_and_for_what_is_above(
    run, raw, tmp_path, group
):
    import pydicom

    with h5py.File(raw, "r+") as file:
        file.move("truth", "scan/images")
        file.move("dataset/xml", "scan/images/xml")
        del file["dataset"]
    done = run("convert", raw, "-g", group, "--dicom", "d")
    assert done.stderr == ""
    (path, _) = sorted((tmp_path / "d").rglob("*.dcm"))
    assert pydicom.dcmread(path).Manufacturer == "score-gadget"


def test_images_of_a_replay_lie_as_those_with_their_raw_data(run, raw, tmp_path):
    import pydicom

    with h5py.File(raw, "r+") as file:
        header = file["dataset/xml"][0]
        vendor = b"<systemVendor>score-gadget</systemVendor>"
        assert vendor in header
        file["dataset/xml"][0] = header.replace(vendor, b"<systemVendor>SIEMENS</systemVendor>")
    done = run("replay", raw, "-o", "out.h5", "--set", "method=fft", "--dicom", "replayed")
    assert done.returncode == 0, done.stderr
    for command in (("--raw", raw, "--dicom", "with"), ("--dicom", "without")):
        assert run("convert", "out.h5", *command).stderr == ""
    first, *others = (
        [pydicom.dcmread(path) for path in sorted((tmp_path / folder).rglob("*.dcm"))]
        for folder in ("replayed", "with", "without")
    )
    assert [one.Manufacturer for one in first] == ["SIEMENS"] * 2
    assert others == [first, first]


def test_groups_become_files_of_their_own(run, raw, tmp_path):
    run("replay", raw, "-o", "out.h5", "--set", "method=fft")
    run("replay", raw, "-o", "out.h5", "-G", "more/of it", "--set", "method=fft")
    done = run("convert", "out.h5", "--nifti", "n", "--dicom", "d", "--png", "p")
    assert done.stdout == "4 images: n, d, p\n"
    names = ["dataset_series_0", "more_of it_series_0"]
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == names
    assert len(list((tmp_path / "d").rglob("*.dcm"))) == 4
    assert sorted(path.name for path in (tmp_path / "n").iterdir()) == [
        f"{name}.nii.gz" for name in names
    ]
    assert len(list((tmp_path / "p").iterdir())) == 4
    assert run("convert", "out.h5", "-g", "more", "--nifti", "one").returncode == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["series_0.nii.gz"]


def test_groups_of_the_same_file_names_are_refused(run, raw, tmp_path):
    with h5py.File(raw, "r+") as file:
        for group in ("more/of", "more_of"):
            file.copy("truth", group)
    done = run("convert", raw, "--png", "p")
    assert done.returncode == 2
    assert "'more/of' and 'more_of' would have the same file names; convert each" in done.stderr
    assert not (tmp_path / "p").exists()
    assert run("convert", raw, "-g", "more/of", "--png", "p").returncode == 0


def test_images_of_several_scans_are_not_given_the_header_of_one(run, raw):
    run("replay", raw, "-o", "out.h5", "--set", "method=fft")
    run("replay", raw, "-o", "out.h5", "-G", "again", "--set", "method=fft")
    assert run("convert", "out.h5", "--dicom", "d").returncode == 0
    with h5py.File(raw.parent / "out.h5", "r+") as file:
        file["again/xml"][0] = file["again/xml"][0].replace(b"score-gadget", b"another")
    done = run("convert", "out.h5", "--dicom", "d")
    assert done.returncode == 2
    assert "images of several scans, in 'again', 'dataset'" in done.stderr
    assert run("convert", "out.h5", "-g", "again", "--dicom", "d").returncode == 0


def test_without_a_header_the_scan_is_unknown_and_that_is_said(run, raw, tmp_path):
    import pydicom

    with h5py.File(raw, "r+") as file:
        del file["dataset"]
    done = run("convert", raw, "--dicom", "d")
    assert done.returncode == 0
    assert "Give the raw data with --raw" in done.stderr
    (path, _) = sorted((tmp_path / "d").rglob("*.dcm"))
    assert pydicom.dcmread(path).PatientName == "Anonymous"
    # A picture tells nothing of either.
    assert run("convert", raw, "--png", "p").stderr == ""


def test_images_that_do_not_tell_how_they_lie_are_warned_of_once(run, raw):
    with h5py.File(raw, "r+") as file:
        heads = file["truth/image_0/header"]
        for number, head in enumerate(heads[()]):
            head["read_dir"] = 0
            heads[number] = head
    folders = ("--nifti", "n", "--dicom", "d", "--png", "p")
    done = run("convert", raw, "-g", "truth", "--raw", raw, *folders)
    assert done.returncode == 0
    assert done.stderr.count("Series 0 does not tell how it lies") == 1


def test_an_image_that_lies_impossibly_costs_no_other(run, raw, tmp_path):
    with h5py.File(raw, "r+") as file:
        heads = file["truth/image_0/header"]
        head = heads[0]
        head["phase_dir"] = head["read_dir"]
        heads[0] = head
        file.copy("truth", "other")
    done = run("convert", raw, "--raw", raw, "--nifti", "n", "--png", "p")
    assert done.returncode == 1
    assert "must be perpendicular" in done.stderr
    assert len(list((tmp_path / "p").iterdir())) == 4
    assert len(list((tmp_path / "n").iterdir())) == 2


def test_nothing_to_convert_to_and_nothing_to_convert(run, raw, tmp_path):
    done = run("convert", raw)
    assert done.returncode == 2
    assert "--nifti, --dicom or --png" in done.stderr
    assert run("convert", raw, "--group", "none", "--png", "p").returncode == 2
    with h5py.File(raw, "r+") as file:
        for dataset in file["truth/image_0"].values():
            dataset.resize(0, axis=0)
    assert_without_images(run("convert", raw, "--png", "p"))
    with h5py.File(raw, "r+") as file:
        del file["truth"]
    assert_without_images(run("convert", raw, "--png", "p"))
    assert not (tmp_path / "p").exists()


def assert_without_images(done) -> None:
    assert done.returncode == 1
    assert "holds no ISMRMRD images" in done.stderr
