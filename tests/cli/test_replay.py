from __future__ import annotations

import re
import resource
import signal
import time
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from waiting import wait_until

from gadget.mrd.images.reader import read_images

FFT = "<property name='method' value='fft'/>"


def test_a_scan_becomes_images(run, raw, pipeline, tmp_path):
    whole = pipeline("prewhiten", "gather", ("reconstruct", FFT), "finish")
    done = run("replay", raw, "-o", "out.h5", "-c", whole, "--png", "pictures")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^2 images in [\d.]+ s, [\d.]+ s per image: out.h5$", done.stdout, re.M)
    images = read_images(tmp_path / "out.h5", "dataset")
    truth = read_images(raw, "truth")
    assert [image.slice for image in images] == [0, 1]
    for image, expected in zip(images, truth, strict=True):
        head, other = image.getHead(), expected.getHead()
        for name in ("position", "read_dir", "phase_dir", "slice_dir", "field_of_view"):
            np.testing.assert_allclose(getattr(head, name), getattr(other, name))
        assert np.corrcoef(image.data.ravel(), expected.data.ravel())[0, 1] > 0.8
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2


def test_the_images_lie_where_the_client_of_gadgetron_puts_them(run, raw, pipeline, tmp_path):
    short = pipeline(("reconstruct", FFT + "<property name='image_series' value='4'/>"), "finish")
    done = run("replay", raw, "-o", "out.h5", "-c", short, "-G", "mine")
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file["mine/image_4"]) == {"data", "header", "attributes"}
        assert file["mine/image_4/data"].shape == (2, 1, 1, 32, 32)
    images = ismrmrd.Dataset(str(tmp_path / "out.h5"), "mine", False)
    assert images.read_image("image_4", 1).getHead().slice == 1


def test_a_line_of_nan_costs_a_line(run, raw, pipeline, tmp_path):
    with h5py.File(raw, "r+") as file:
        _spoil(file, 12, np.nan)
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline(("reconstruct", FFT)))
    assert done.returncode == 0, done.stderr
    assert "Readout 12 holds samples" in done.stderr
    images = read_images(tmp_path / "out.h5")
    assert len(images) == 2
    assert all(np.isfinite(image.data).all() for image in images)


@pytest.mark.parametrize("name", ["raw.h5", "./raw.h5"])
def test_the_raw_data_are_not_written_over(run, raw, pipeline, name):
    before = raw.read_bytes()
    done = run("replay", raw, "-o", name, "-c", pipeline("gather"))
    assert done.returncode == 2
    assert "choose another file" in done.stderr
    assert raw.read_bytes() == before


def test_images_with_their_header_are_no_raw_data(run, raw):
    run("replay", raw, "-o", "out.h5", "--set", "method=fft")
    for command in (("inspect", "out.h5"), ("replay", "out.h5", "-o", "again.h5")):
        done = run(*command)
        assert done.returncode == 1
        assert "holds no raw data" in done.stderr
        assert "it holds images, in 'dataset'" in done.stderr


def _spoil(file: h5py.File, number: int, value: float) -> None:
    row = file["dataset/data"][number]
    row["data"] = np.full_like(row["data"], value)
    file["dataset/data"][number] = row


def _change(file: h5py.File, number: int, change) -> None:
    row = file["dataset/data"][number]
    change(row)
    file["dataset/data"][number] = row


def _replace_header(file: h5py.File, change) -> None:
    text = file["dataset/xml"][0].decode()
    assert change(text) != text
    file["dataset/xml"][0] = change(text).encode()


def _no_group(file: h5py.File) -> None:
    del file["dataset"]


def _no_header(file: h5py.File) -> None:
    del file["dataset/xml"]


def _no_encoding(file: h5py.File) -> None:
    _replace_header(file, lambda x: re.sub("<encoding>.*</encoding>", "", x, flags=re.S))


def _radial(file: h5py.File) -> None:
    _replace_header(file, lambda x: x.replace(">cartesian<", ">radial<"))


def _no_readouts(file: h5py.File) -> None:
    file["dataset/data"].resize(0, axis=0)


def _noise_only(file: h5py.File) -> None:
    file["dataset/data"].resize(8, axis=0)


def _outside(file: h5py.File) -> None:
    def move(row):
        row["head"]["idx"]["kspace_encode_step_1"] = 200

    _change(file, 12, move)


def _other_coils(file: h5py.File) -> None:
    def drop(row):
        row["head"]["active_channels"] = 2
        row["data"] = row["data"][: len(row["data"]) * 2 // 3]

    _change(file, 12, drop)


def _slice_of_nan(file: h5py.File) -> None:
    for number, row in enumerate(file["dataset/data"]["head"]):
        if row["idx"]["slice"] == 1:
            _spoil(file, number, np.nan)


BAD = {
    _no_group: "holds no raw data",
    _no_header: "has no header",
    _no_encoding: "encoding",
    _radial: "only 'cartesian' can be reconstructed",
    _no_readouts: "not one readout",
    _noise_only: "noise or adjustment scan",
    _outside: "outside the encoded matrix of 32 x 1",
    _other_coils: "must have the same coils",
    _slice_of_nan: "No usable readout came for the image with",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__.strip("_"))
def test_bad_data_are_told_in_a_sentence(run, raw, pipeline, spoil):
    with h5py.File(raw, "r+") as file:
        spoil(file)
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline("gather"))
    assert done.returncode == 1
    assert BAD[spoil] in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_file_that_is_not_there(run, pipeline):
    done = run("replay", "nothing.h5", "-o", "out.h5", "-c", pipeline("gather"))
    assert done.returncode == 2
    assert "'nothing.h5' does not exist" in done.stderr


def test_a_file_that_is_not_hdf5(run, pipeline, tmp_path):
    (tmp_path / "notes.txt").write_text("not raw data")
    done = run("replay", "notes.txt", "-o", "out.h5", "-c", pipeline("gather"))
    assert done.returncode == 1
    assert "not a readable HDF5 file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (("reconstruct", "<property name='stepz' value='3'/>"), "did you mean 'steps'?"),
        (("reconstruct", "<property name='snr' value='7'/>"), "'snr' must be less than 1, got '7'"),
        (("finish", "<property name='output' value='colour'/>"), "node finish: Property 'output'"),
    ],
    ids=["misspelt", "out of range", "unknown output"],
)
def test_a_wrong_setting_is_named_before_anything_runs(run, raw, pipeline, node, sentence):
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline(node))
    assert done.returncode == 2
    assert sentence in done.stderr


def test_an_unknown_model(run, raw, pipeline):
    model = "<property name='model' value='heart'/>"
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline(("reconstruct", model)))
    assert done.returncode == 2
    assert "There is no model 'heart'" in done.stderr


def test_settings_are_overridden(run, raw, pipeline, tmp_path):
    command = ("replay", raw, "-o", "out.h5", "-c", pipeline("reconstruct", "finish"))
    done = run(*command, "--set", "method=fft", "--set", "output=complex")
    assert done.returncode == 0, done.stderr
    assert "image 1: method fft" in done.stderr
    assert read_images(tmp_path / "out.h5")[0].data.dtype == np.complex64


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "<gadget><dll>gadgetron_mricore</dll><classname>NoiseAdjustGadget</classname></gadget>",
            "the C++ gadget NoiseAdjustGadget of gadgetron_mricore. That needs a Gadgetron server",
        ),
        ("", "has no nodes"),
    ],
)
def test_a_pipeline_that_the_host_cannot_run(run, raw, tmp_path, text, sentence):
    path = tmp_path / "other.xml"
    path.write_text(f"<configuration><version>2</version><stream>{text}</stream></configuration>")
    done = run("replay", raw, "-o", "out.h5", "-c", path)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_an_unknown_pipeline_is_not_found(run, raw):
    done = run("replay", raw, "-o", "out.h5", "-c", "score_hybird.xml")
    assert done.returncode == 2
    assert "did you mean 'score_hybrid.xml'?" in done.stderr


def test_a_crash_keeps_what_was_finished(run, raw, pipeline, tmp_path):
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline("crashes"))
    assert done.returncode == 1
    assert "the second slice is cursed" in done.stderr.splitlines()[-1]
    assert "Traceback" in done.stderr
    assert [image.slice for image in read_images(tmp_path / "out.h5")] == [0]


def test_a_format_that_cannot_hold_the_images_costs_no_image(run, raw, pipeline, tmp_path):
    with h5py.File(raw, "r+") as file:
        lines = file["dataset/data"][:]
        lines["head"]["phase_dir"] = (0.6, 0.8, 0)  # not perpendicular to the rows
        file["dataset/data"][:] = lines
    done = run(
        *(
            "replay",
            raw,
            "-o",
            "out.h5",
            "-c",
            pipeline("prewhiten", "gather", ("reconstruct", FFT)),
        ),
        *("--nifti", "volumes"),
    )
    assert done.returncode == 1
    assert "must be perpendicular" in done.stderr.splitlines()[-1]
    assert len(read_images(tmp_path / "out.h5")) == 2


def test_fewer_images_than_the_data_held_is_no_success(run, raw, pipeline, tmp_path):
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline("loses"))
    assert done.returncode == 1
    assert "Only 1 of 2 images came out" in done.stderr
    assert "slice 1" in done.stderr
    assert len(read_images(tmp_path / "out.h5")) == 1


def test_a_disk_without_room_for_the_header(run, raw, pipeline, tmp_path):
    done = run(
        *("replay", raw, "-o", "out.h5", "-c", pipeline("crashes")),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert done.returncode == 2
    assert "'out.h5' cannot be written: File too large. Make room first." in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.xml", "raw.h5"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_images_and_leaves_nothing_behind(
    start, raw, pipeline, tmp_path, number
):
    process = start("replay", raw, "-o", "out.h5", "-c", pipeline("dawdles"))
    wait_until((tmp_path / "dawdling").exists)
    time.sleep(0.5)
    process.send_signal(number)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Stopped. Kept in 'out.h5': 1 image." in messages
    assert len(read_images(tmp_path / "out.h5")) == 1
    assert not list(Path(tmp_path).glob(".*part"))
