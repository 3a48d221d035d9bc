from __future__ import annotations

import resource

import h5py
import ismrmrd
import numpy as np
import pytest


def test_the_file_is_valid_ismrmrd_and_follows_from_the_seed(run, tmp_path):
    options = ("--matrix", 48, "--coils", 3, "--slices", 3, "--seed", 5)
    for name in ("one.h5", "two.h5"):
        done = run("simulate", name, *options)
        assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "two.h5") as two:
        assert one["dataset/xml"][0] == two["dataset/xml"][0]
        for row, other in zip(one["dataset/data"], two["dataset/data"], strict=True):
            assert row["head"] == other["head"]
            np.testing.assert_array_equal(row["data"], other["data"])
        np.testing.assert_array_equal(one["truth/image_0/data"], two["truth/image_0/data"])
    dataset = ismrmrd.Dataset(str(tmp_path / "one.h5"), "dataset", False)
    header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    assert header.encoding[0].encodedSpace.matrixSize.x == 96
    assert dataset.number_of_acquisitions() == 8 + 3 * 12
    assert dataset.read_acquisition(0).is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    dataset.close()


def test_other_seeds_are_other_scans(run, tmp_path):
    for seed in (1, 2):
        options = ("--matrix", 32, "--coils", 2, "--slices", 1, "--seed", seed)
        done = run("simulate", f"{seed}.h5", *options)
        assert done.stdout == f"1 slice, 2 coils, 32 x 32, R = 4: {seed}.h5\n"
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "2.h5") as two:
        assert not np.array_equal(one["truth/image_0/data"], two["truth/image_0/data"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--acceleration", 30, "--matrix", 32), "lower the acceleration or the centre fraction"),
        (("--coils", 0), "--coils"),
        (("--matrix", "big"), "--matrix"),
    ],
)
def test_impossible_scans(run, tmp_path, options, sentence):
    done = run("simulate", "raw.h5", *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(run):
    done = run("simulate", "nowhere/raw.h5", "--matrix", 32)
    assert done.returncode == 2
    assert "'nowhere/raw.h5' cannot be written" in done.stderr


def test_a_full_disk_is_a_sentence(run, tmp_path):
    done = run(
        *("simulate", "raw.h5", "--matrix", 64, "--coils", 4),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    assert done.returncode == 2
    assert "'raw.h5' cannot be written: File too large." in done.stderr
    assert not list(tmp_path.iterdir())
