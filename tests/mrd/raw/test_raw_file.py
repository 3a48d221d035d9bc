from __future__ import annotations

import fcntl
import os

import h5py
import ismrmrd
import numpy as np
import pytest
from wire_bytes import messages_in

from gadget.errors import ConfigError, DataError
from gadget.mrd.raw import ismrmrd_source
from gadget.mrd.raw.raw_file import RawFile
from gadget.stream.wire.codec import decode


def _waveform(stamp: int) -> ismrmrd.Waveform:
    data = np.arange(6, dtype=np.uint32).reshape(2, 3) + stamp
    return ismrmrd.Waveform.from_array(data, time_stamp=stamp, waveform_id=1)


def test_sends_the_bytes_that_a_gadgetron_server_received(test_data, recording):
    with RawFile(test_data / "data" / "raw" / "phantom_grappa2.h5") as raw:
        assert raw.number_of_acquisitions == 143
        sent = b"".join(raw.messages())
    recorded = recording("acq")
    start = recorded.index(b"</ismrmrdHeader>")
    assert recorded[recorded.index(sent[:64], start) :] == sent + b"\x04\x00"


def test_readouts_come_back_as_they_were_written(make_scan, raw_file, monkeypatch):
    monkeypatch.setattr(ismrmrd_source, "BLOCK", 3)
    scan = make_scan()
    readouts = scan.readouts(scan.image())
    path = raw_file(scan.xml, readouts)
    before = path.read_bytes()
    with RawFile(path) as raw:
        assert raw.header_xml == scan.xml
        assert raw.group == "dataset"
        assert list(raw.acquisitions()) == readouts
        got = [decode(message) for one in raw.messages() for message in messages_in(one)]
    assert got == readouts
    assert path.read_bytes() == before


def test_trajectories_travel_along(make_scan, raw_file):
    head = make_scan().readout(np.ones((2, 4))).getHead()
    head.trajectory_dimensions = 2
    trajectory = np.arange(8, dtype=np.float32).reshape(4, 2)
    readout = ismrmrd.Acquisition(head, np.ones((2, 4), np.complex64), trajectory)
    with RawFile(raw_file(make_scan().xml, [readout])) as raw:
        (got,) = raw.acquisitions()
        (message,) = raw.messages()
    np.testing.assert_array_equal(got.traj, trajectory)
    assert message[2:] == readout.to_bytes()


def test_waveforms_go_before_later_readouts(make_scan, raw_file, monkeypatch):
    monkeypatch.setattr(ismrmrd_source, "BLOCK", 2)
    scan = make_scan()
    readouts = scan.readouts(scan.image(), ky=range(4))  # time stamps 1000 to 1003
    waveforms = [_waveform(stamp) for stamp in (5, 1001, 1002, 9000)]
    path = raw_file(scan.xml, readouts, waveforms=waveforms)
    with RawFile(path) as raw:
        assert raw.number_of_waveforms == 4
        items = [decode(message) for one in raw.messages() for message in messages_in(one)]
    stamps = [
        item.time_stamp if isinstance(item, ismrmrd.Waveform) else item.acquisition_time_stamp
        for item in items
    ]
    assert stamps == [5, 1000, 1001, 1001, 1002, 1002, 1003, 9000]
    assert [isinstance(item, ismrmrd.Waveform) for item in items] == [
        *(True, False, False, True, False, True, False, True)
    ]
    np.testing.assert_array_equal(items[0].data, waveforms[0].data)


def test_a_damaged_waveform_costs_no_readout(make_scan, raw_file):
    scan = make_scan()
    readouts = scan.readouts(scan.image(), ky=range(4))  # time stamps 1000 to 1003
    waveforms = [_waveform(stamp) for stamp in (5, 1001)]
    path = raw_file(scan.xml, readouts, waveforms=waveforms)
    with h5py.File(path, "r+") as file:
        row = file["dataset/waveforms"][1]
        row["data"] = row["data"][:2]
        file["dataset/waveforms"][1] = row
    sent = []
    with RawFile(path) as raw, pytest.raises(DataError, match="announces 6 values and holds 2"):
        sent.extend(raw.messages())
    items = [decode(message) for one in sent for message in messages_in(one)]
    assert [one for one in items if isinstance(one, ismrmrd.Acquisition)] == readouts


def test_takes_the_only_group_there_is(make_scan, raw_file):
    scan = make_scan()
    path = raw_file(scan.xml, scan.readouts(scan.image()), group="scan 7/raw")
    with RawFile(path) as raw:
        assert raw.group == "scan 7/raw"
    raw_file(scan.xml, scan.readouts(scan.image()), group="other")
    with pytest.raises(ConfigError, match="'other', 'scan 7/raw'; choose one"):
        RawFile(path)
    with RawFile(path, "other") as raw:
        assert raw.group == "other"
    with pytest.raises(ConfigError, match="no raw data in 'dataset'"):
        RawFile(path, "dataset")


def test_no_such_file_is_an_error_and_creates_none(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        RawFile(tmp_path / "typo.h5")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="is a folder"):
        RawFile(tmp_path)


def test_a_pipe_is_said_to_be_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe' is no regular file; an ISMRMRD file"):
        RawFile(tmp_path / "pipe")


def test_a_file_of_another_kind_is_an_error(tmp_path):
    path = tmp_path / "raw.h5"
    path.write_bytes(b"not HDF5 at all")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        RawFile(path)


def test_a_file_that_is_being_written_is_said_to_be(raw_file, make_scan):
    scan = make_scan()
    path = raw_file(scan.xml, scan.readouts(scan.image()))
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # as the HDF5 library does
        with pytest.raises(DataError, match="locked by another program"):
            RawFile(path)
    RawFile(path).close()


def test_hdf5_without_raw_data_names_what_there_is(tmp_path):
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = np.zeros(3)
    with pytest.raises(DataError, match="it holds 'kspace'"):
        RawFile(path)


def test_images_and_their_header_beside_raw_data_are_not_mistaken_for_them(make_scan, raw_file):
    scan = make_scan()
    path = raw_file(scan.xml, scan.readouts(scan.image()), group="scan")
    with h5py.File(path, "r+") as file:
        for name in ("header", "data", "attributes"):
            file[f"dataset/image_0/{name}"] = np.zeros(1)
        file["dataset/xml"] = file["scan/xml"][()]
    with RawFile(path) as raw:
        assert raw.group == "scan"


def test_a_missing_header_is_an_error(make_scan, raw_file):
    scan = make_scan()
    with pytest.raises(DataError, match="no header"):
        RawFile(raw_file(None, scan.readouts(scan.image())))


def test_no_readouts_is_an_error(make_scan, raw_file):
    with pytest.raises(DataError, match="not one readout"):
        RawFile(raw_file(make_scan().xml, []))


def test_lengths_that_do_not_fit_are_an_error(make_scan, raw_file):
    scan = make_scan()
    path = raw_file(scan.xml, scan.readouts(scan.image()))
    with h5py.File(path, "r+") as file:
        row = file["dataset/data"][3]
        row["head"]["number_of_samples"] = 99
        file["dataset/data"][3] = row
    with RawFile(path) as raw, pytest.raises(DataError, match=r"Readout 3 .* announces 594"):
        list(raw.messages())


def test_a_file_cut_short_is_an_error(make_scan, raw_file):
    scan = make_scan(encoded=(256, 64, 1), coils=8)
    path = raw_file(scan.xml, scan.readouts(scan.image()))
    path.write_bytes(path.read_bytes()[:-100000])
    with pytest.raises(DataError), RawFile(path) as raw:
        list(raw.messages())


@pytest.mark.parametrize("signature", [b"HEAP", b"TREE", b"SNOD"])
def test_a_file_damaged_inside_is_an_error(make_scan, raw_file, signature):
    scan = make_scan()
    path = raw_file(scan.xml, scan.readouts(scan.image()))
    path.write_bytes(path.read_bytes().replace(signature, b"xxxx"))
    with pytest.raises(DataError, match="is damaged"):
        RawFile(path)


def test_what_converters_of_scanner_data_write_is_read(make_scan, tmp_path):
    # Like siemens_to_ismrmrd: the noise in a readout of another length, a second encoding for the
    # calibration, waveforms; and files that were compressed afterwards.
    scan = make_scan()
    noise = scan.readout(np.ones((3, 32)), 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1))
    other = scan.readout(np.full((3, 8), 2), 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1))
    other.encoding_space_ref = 1
    readouts = [noise, other, *scan.readouts(scan.image(), segment=3)]
    start, end = scan.xml.index(b"<encoding>"), scan.xml.index(b"</ismrmrdHeader>")
    xml = scan.xml[:end] + scan.xml[start:end] + scan.xml[end:]
    dataset = ismrmrd.Dataset(str(tmp_path / "plain.h5"), "dataset", True)
    dataset.write_xml_header(xml)
    for readout in readouts:
        dataset.append_acquisition(readout)
    dataset.append_waveform(_waveform(7))
    dataset.close()
    with h5py.File(tmp_path / "plain.h5") as old, h5py.File(tmp_path / "raw.h5", "w") as new:
        for name in ("xml", "data", "waveforms"):
            new.create_dataset(f"dataset/{name}", data=old["dataset"][name], compression="gzip")
    with RawFile(tmp_path / "raw.h5") as raw:
        assert raw.header_xml == xml
        assert raw.number_of_waveforms == 1
        assert list(raw.acquisitions()) == readouts
        sent = [decode(message) for one in raw.messages() for message in messages_in(one)]
    assert [one for one in sent if isinstance(one, ismrmrd.Acquisition)] == readouts
    assert isinstance(sent[0], ismrmrd.Waveform)
