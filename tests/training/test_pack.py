from __future__ import annotations

import os

import numpy as np
import pytest

from gadget.errors import ConfigError, DataError
from gadget.training import pack
from gadget.training.images import load_volumes
from gadget.training.pack import packed_volumes


@pytest.fixture
def data(tmp_path, phantom):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, shape in (("a", (64, 72)), ("b", (80, 66))):
        np.save(folder / f"{name}.npy", np.stack([phantom(shape)] * 2) * 100)
    return folder


@pytest.fixture
def readings(monkeypatch):
    """The folders that are read."""
    read = []

    def count(folder, without):
        read.append(folder)
        return load_volumes(folder, without)

    monkeypatch.setattr(pack, "load_volumes", count)
    return read


def _same(ones, others):
    assert [[s.shape for s in one] for one in ones] == [[s.shape for s in one] for one in others]
    for one, other in zip(ones, others, strict=True):
        for mine, yours in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, yours)


def test_packed_images_are_those_of_the_folder(data, tmp_path):
    found = packed_volumes(data, tmp_path / "images.f16")
    _same(found, list(load_volumes(data)))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "images.f16", "images.json"}


def test_a_folder_is_read_again_only_when_it_has_changed(data, tmp_path, readings, caplog):
    path = tmp_path / "images.f16"
    first = packed_volumes(data, path)
    _same(packed_volumes(data, path), first)
    assert len(readings) == 1
    assert not caplog.messages
    np.save(data / "c.npy", np.stack([first[0][0]] * 3).astype(np.float32))
    assert len(packed_volumes(data, path)) == 3
    assert f"The files of {data} have changed" in caplog.text
    times = (data / "a.npy").stat().st_mtime_ns + 1
    os.utime(data / "a.npy", ns=(times, times))
    packed_volumes(data, path)
    assert len(readings) == 3
    (data / "c.npy").unlink()
    _same(packed_volumes(data, path), first)


@pytest.mark.parametrize("spoil", ["images.f16", "images.json"])
def test_a_pack_that_is_damaged_is_made_anew(data, tmp_path, readings, spoil):
    path = tmp_path / "images.f16"
    first = [[s.copy() for s in volume] for volume in packed_volumes(data, path)]
    content = (tmp_path / spoil).read_bytes()
    (tmp_path / spoil).write_bytes(content[:-10])
    _same(packed_volumes(data, path), first)
    assert len(readings) == 2


def test_images_are_not_held_in_memory(data, tmp_path):
    first = packed_volumes(data, tmp_path / "images.f16")[0][0]
    base = first
    while isinstance(base, np.ndarray) and base.base is not None and type(base) is not np.memmap:
        base = base.base
    assert isinstance(base, np.memmap)


def test_folders_that_are_kept_apart_are_not_packed(data, tmp_path):
    (data / "held-out").mkdir()
    (data / "a.npy").rename(data / "held-out" / "a.npy")
    (data / "broken.npy").symlink_to("nowhere")
    found = packed_volumes(data, data / "images.f16", [data / "held-out"])
    assert [volume[0].shape for volume in found] == [(80, 66)]


def test_a_folder_of_rubbish_leaves_no_pack(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npy").write_text("rubbish")
    with pytest.raises(DataError, match="holds no usable magnitude image"):
        packed_volumes(tmp_path / "data", tmp_path / "images.f16")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_pack_that_cannot_be_written(data, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be packed to .*: No such file or directory"):
        packed_volumes(data, tmp_path / "nowhere" / "images.f16")
