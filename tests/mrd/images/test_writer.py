from __future__ import annotations

import fcntl
import subprocess
import sys
import textwrap

import h5py
import ismrmrd
import numpy as np
import pytest

from gadget.errors import ConfigError, DataError
from gadget.mrd.images.make_image import make_image
from gadget.mrd.images.reader import read_images
from gadget.mrd.images.writer import ImageWriter
from gadget.mrd.xml_header.header import Space


def _image(seed: int = 0, series: int = 1, dtype=np.float32, shape=(1, 4, 6), **meta):
    random = np.random.default_rng(seed)
    pixels = 100 * random.normal(size=shape) + (1j if dtype == np.complex64 else 0)
    reference = ismrmrd.AcquisitionHeader()
    reference.idx.slice = seed
    return make_image(
        np.abs(pixels).astype(dtype) if dtype == np.uint16 else pixels.astype(dtype),
        reference,
        Space((6, 4, 1), (6, 4, 1)),
        image_index=seed,
        series_index=series,
        image_type=1,
        meta={"number": seed, **meta},
    )


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.uint16])
def test_images_come_back_as_they_were_written(tmp_path, dtype):
    path = tmp_path / "out.h5"
    images = [_image(i, dtype=dtype) for i in range(3)]
    with ImageWriter(path, "group") as writer:
        for image in images:
            writer.append(image)
        assert not path.exists()
    assert read_images(path) == images
    assert read_images(path, "group") == images
    assert read_images(path, "group/image_1") == images
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.h5"]


def test_ismrmrd_reads_them_too(tmp_path):
    path = tmp_path / "out.h5"
    image = _image(2, series=7, dtype=np.complex64)
    with ImageWriter(path, "group") as writer:
        writer.append(image)
    dataset = ismrmrd.Dataset(str(path), "group", False)
    assert dataset.number_of_images("image_7") == 1
    read = dataset.read_image("image_7", 0)
    dataset.close()
    np.testing.assert_array_equal(read.data, image.data)
    assert read.meta["number"] == "2"
    with h5py.File(path) as file:
        assert file["group/image_7/data"].dtype.names == ("real", "imag")
        assert file["group/image_7/data"].shape == (1, 1, 1, 4, 6)


def test_the_header_is_kept_beside_the_images_for_ismrmrd_too(tmp_path):
    path = tmp_path / "out.h5"
    header = "<ismrmrdHeader>é</ismrmrdHeader>".encode()
    with ImageWriter(path, "group", header) as writer:
        writer.append(_image())
    dataset = ismrmrd.Dataset(str(path), "group", False)
    assert dataset.read_xml_header() == header
    assert dataset.number_of_images("image_1") == 1
    dataset.close()
    assert read_images(path) == [_image()]
    with ImageWriter(path, "group") as writer:
        writer.append(_image())
    with h5py.File(path) as file:
        assert "xml" not in file["group"]
    with ImageWriter(tmp_path / "none.h5", "group", header):
        pass
    assert not (tmp_path / "none.h5").exists()


def test_images_of_ismrmrd_are_read(tmp_path):
    path = tmp_path / "theirs.h5"
    image = _image(3, series=0)
    dataset = ismrmrd.Dataset(str(path), "dataset")
    dataset.append_image("image_0", image)
    dataset.close()
    assert read_images(path) == [image]


def test_a_series_keeps_one_size_and_no_image_is_lost(tmp_path, caplog):
    path = tmp_path / "out.h5"
    with ImageWriter(path) as writer:
        for image in (_image(0), _image(1, shape=(1, 5, 6)), _image(2), _image(3, shape=(1, 5, 6))):
            writer.append(image)
        writer.append(_image(4, series=2, dtype=np.uint16))
    images = read_images(path)
    assert [int(image.meta["number"]) for image in images] == [0, 2, 1, 3, 4]
    assert images[2].image_series_index == images[3].image_series_index == 2
    assert images[4].image_series_index == 3
    assert "another size" in caplog.text


def test_images_before_an_error_are_kept(tmp_path):
    path = tmp_path / "out.h5"
    with pytest.raises(RuntimeError, match="elsewhere"), ImageWriter(path) as writer:
        writer.append(_image())
        raise RuntimeError("elsewhere")
    assert len(read_images(path)) == 1


def test_without_images_an_existing_file_stays(tmp_path):
    path = tmp_path / "out.h5"
    with ImageWriter(path) as writer:
        writer.append(_image())
    with ImageWriter(path):
        pass
    assert len(read_images(path)) == 1
    with ImageWriter(tmp_path / "none.h5"):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.h5"]


def test_other_groups_stay_and_the_same_one_is_replaced(tmp_path):
    path = tmp_path / "out.h5"
    for group, seed in (("one", 1), ("two", 2), ("one", 3)):
        with ImageWriter(path, group) as writer:
            writer.append(_image(seed))
    assert [int(image.meta["number"]) for image in read_images(path, "one")] == [3]
    assert [int(image.meta["number"]) for image in read_images(path, "two")] == [2]


@pytest.mark.parametrize("before", [False, True])
def test_groups_that_others_write_in_the_meantime_stay(tmp_path, before):
    path = tmp_path / "images.h5"
    if before:
        with ImageWriter(path, "other") as writer:
            writer.append(_image(2))
    with ImageWriter(path, "slow") as slow:
        slow.append(_image(0))
        with ImageWriter(tmp_path / "others.h5", "other") as other:
            other.append(_image(1))
        other.path.replace(path)
    found = {group: read_images(path, group) for group in ("slow", "other")}
    assert [image.meta["number"] for images in found.values() for image in images] == ["0", "1"]


def test_raw_data_that_come_in_the_meantime_are_not_replaced(tmp_path):
    path = tmp_path / "images.h5"
    writer = ImageWriter(path)
    writer.append(_image())
    with h5py.File(path, "w") as file:
        file["dataset/data"] = np.zeros(3)
    before = path.read_bytes()
    with pytest.raises(DataError, match="holds raw data in 'dataset'"):
        writer.close()
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["images.h5"]


@pytest.mark.parametrize("group", ["scan//a", "./scan/a", "/scan/./a/"])
def test_the_same_group_is_replaced_however_it_is_written(tmp_path, group):
    path = tmp_path / "images.h5"
    for seed in range(2):
        with ImageWriter(path, group, b"<ismrmrdHeader/>") as writer:
            writer.append(_image(seed))
    assert [int(image.meta["number"]) for image in read_images(path, "scan/a")] == [1]


def test_refuses_to_replace_a_file_of_another_kind(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    with pytest.raises(ConfigError, match="is not an HDF5 file"):
        ImageWriter(path)
    assert path.read_text() == "years of work"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_another_program_writes_is_said_to_be(tmp_path):
    path = tmp_path / "out.h5"
    path.touch()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as the HDF5 library does
        with pytest.raises(DataError, match="locked by another program"):
            ImageWriter(path)
    assert len(list(tmp_path.iterdir())) == 1


def test_refuses_to_replace_devices_and_folders(tmp_path):
    for path in ("/dev/full", tmp_path):
        with pytest.raises(ConfigError, match="no regular file"):
            ImageWriter(path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        ImageWriter(tmp_path / "missing" / "out.h5")


def test_a_full_disk_is_told_and_earlier_images_are_kept(tmp_path):
    """The limit on the size of files stands in for the disk."""
    script = textwrap.dedent("""
        import resource, sys
        import ismrmrd, numpy as np
        from gadget.errors import DataError
        from gadget.mrd.xml_header.header import Space
        from gadget.mrd.images.writer import ImageWriter
        from gadget.mrd.images.make_image import make_image

        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))
        pixels = np.random.default_rng(0).normal(size=(1, 256, 256)).astype(np.float32)
        space = Space((256, 256, 1), (1, 1, 1))
        try:
            with ImageWriter(sys.argv[1]) as writer:
                for i in range(5):
                    writer.append(make_image(pixels, ismrmrd.AcquisitionHeader(), space,
                                             image_index=i, series_index=1, image_type=1))
        except DataError as error:
            print(error)
            sys.exit(3)
    """)
    path = tmp_path / "out.h5"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert "could not be written" in done.stdout
    assert "File too large" in done.stdout
    assert not list(tmp_path.glob(".*"))
    assert len(read_images(path)) == 2


def test_reading_tells_what_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_images(tmp_path / "none.h5")
    path = tmp_path / "empty.h5"
    with h5py.File(path, "w") as file:
        file.create_group("raw")["data"] = 1
    with pytest.raises(DataError, match="no ISMRMRD images"):
        read_images(path)
    for name in ("x", "raw/data"):
        with pytest.raises(ConfigError, match=f"no group '{name}'; it has 'raw'"):
            read_images(path, name)


def test_a_header_without_pixels_is_a_sentence(tmp_path):
    path = tmp_path / "out.h5"
    with ImageWriter(path) as writer:
        writer.append(_image())
    with h5py.File(path, "r+") as file:  # as a client leaves it that is killed while it writes
        file["dataset/image_1/header"].resize(2, axis=0)
    with pytest.raises(DataError, match=r"images in '.*' at '/dataset/image_1' are damaged"):
        read_images(path)


@pytest.mark.parametrize("signature", [b"HEAP", b"TREE", b"SNOD"])
def test_a_file_damaged_inside_is_a_sentence(tmp_path, signature):
    path = tmp_path / "out.h5"
    with ImageWriter(path) as writer:
        writer.append(_image())
    path.write_bytes(path.read_bytes().replace(signature, b"xxxx"))
    with pytest.raises(DataError, match=r"'.*out.h5' is damaged: .* Reconstruct it again"):
        read_images(path)


def test_raw_data_are_never_replaced(tmp_path):
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        file["dataset/data"] = np.zeros(3)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="holds raw data in 'dataset'"):
        ImageWriter(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["raw.h5"]


def test_what_cannot_be_copied_is_not_replaced(tmp_path):
    path = tmp_path / "out.h5"
    with h5py.File(path, "w") as file:
        file["elsewhere"] = h5py.ExternalLink("gone.h5", "/images")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="choose another file for the images"):
        ImageWriter(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["out.h5"]


def test_groups_beside_a_nested_one_stay(tmp_path):
    path = tmp_path / "images.h5"
    for seed, group in enumerate(("scan/a", "scan/b", "other", "scan/b")):
        with ImageWriter(path, group) as writer:
            writer.append(_image(seed))
    for seed, group in ((0, "scan/a"), (3, "scan/b"), (2, "other")):
        assert [int(image.meta["number"]) for image in read_images(path, group)] == [seed]


@pytest.mark.parametrize("attributes", ["a note", "<other/>", '<!DOCTYPE a [<!ENTITY b "c">]><a/>'])
def test_attributes_that_are_no_metadata_cost_no_image(tmp_path, caplog, attributes):
    path = tmp_path / "out.h5"
    with ImageWriter(path) as writer:
        writer.append(_image())
    with h5py.File(path, "r+") as file:
        file["dataset/image_1/attributes"][0] = attributes
    (image,) = read_images(path)
    assert image.meta == {}
    np.testing.assert_array_equal(image.data, _image().data)
    assert "The attributes of an image" in caplog.text
