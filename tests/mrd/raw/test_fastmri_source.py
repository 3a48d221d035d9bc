from __future__ import annotations

import logging

import h5py
import ismrmrd
import numpy as np
import pytest
from wire_bytes import messages_in

from gadget.errors import ConfigError, DataError
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.resample import to_recon_space
from gadget.stream.wire.codec import decode

READOUT, LINES, CROP = 24, 18, (12, 14)
"""Readout oversampled twofold; the phase direction covers more than the image, too."""


def header(lines=LINES, first=2, last=16, center=7, slices=3, coils=4, readout=READOUT, extra=""):
    """A header as the fastMRI files have it: line `center` is the middle of k-space."""
    assert first == lines // 2 - center
    return (
        '<?xml version="1.0" encoding="utf-8"?><ismrmrdHeader '
        'xmlns="http://www.ismrm.org/ISMRMRD"><acquisitionSystemInformation>'
        f"<systemVendor>SIEMENS</systemVendor><receiverChannels>{coils}</receiverChannels>"
        "</acquisitionSystemInformation><experimentalConditions><H1resonanceFrequency_Hz>123200000"
        "</H1resonanceFrequency_Hz></experimentalConditions><encoding><encodedSpace><matrixSize>"
        f"<x>{readout}</x><y>{lines}</y><z>1</z></matrixSize><fieldOfView_mm><x>48</x>"
        f"<y>{2 * LINES}</y><z>7.5</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize>"
        f"<x>{CROP[0]}</x><y>{CROP[1]}</y><z>1</z></matrixSize><fieldOfView_mm><x>24</x><y>28</y>"
        "<z>5</z></fieldOfView_mm></reconSpace><encodingLimits><kspace_encoding_step_1>"
        f"<minimum>0</minimum><maximum>{last - first - 1}</maximum><center>{center}</center>"
        "</kspace_encoding_step_1><kspace_encoding_step_2><minimum>0</minimum><maximum>0</maximum>"
        "<center>0</center></kspace_encoding_step_2><slice><minimum>0</minimum>"
        f"<maximum>{slices - 1}</maximum><center>0</center></slice></encodingLimits>"
        f"<trajectory>cartesian</trajectory></encoding>{extra}</ismrmrdHeader>"
    )


def measured_kspace(slices=3, coils=4, readout=READOUT, lines=LINES, first=2, last=16):
    random = np.random.default_rng(5)
    parts = random.normal(size=(2, slices, coils, readout, lines))
    kspace = (parts[0] + 1j * parts[1]).astype(np.complex64)
    kspace[..., :first] = kspace[..., last:] = 0
    return kspace


def ifft2c(kspace):
    """The inverse transform as the fastMRI code has it."""
    shifted = np.fft.ifftshift(kspace, axes=(-2, -1))
    return np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=(-2, -1))


def center_crop(image, shape):
    top, left = ((size - new) // 2 for size, new in zip(image.shape[-2:], shape, strict=True))
    return image[..., top : top + shape[0], left : left + shape[1]]


def reconstruction_rss(kspace):
    """What the fastMRI files hold as the truth `[slice, readout, line]`."""
    images = center_crop(ifft2c(kspace), CROP)
    return np.sqrt((np.abs(images) ** 2).sum(axis=1))


@pytest.fixture
def fastmri_file(tmp_path):
    def write(kspace, xml=None, mask=None, name="file1000001.h5"):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file["kspace"] = kspace
            if xml is not None:
                file["ismrmrd_header"] = xml
            if mask is not None:
                file["mask"] = mask
            file.attrs["acquisition"] = "CORPD_FBK"
        return path

    return write


def buffers(path):
    with RawFile(path) as raw:
        gatherer = Gatherer(parse_header(raw.header_xml))
        found = [one for readout in raw.acquisitions() for one in gatherer.add(readout)]
        return found + list(gatherer.finish())


def images(path):
    """Root sum of squares `[slice, y, x]` of what the pipeline's own steps make of a file."""
    found = []
    for buffer in buffers(path):
        coil_images = ifft2c(buffer.kspace.data[:, 0])
        recon = buffer.encoding.recon
        cut = to_recon_space(
            coil_images[:, None], buffer.field_of_view, recon.field_of_view_mm, recon.matrix
        )
        found.append(np.sqrt((np.abs(cut[:, 0]) ** 2).sum(axis=0)))
    return np.stack(found)


def test_images_are_those_of_the_dataset_transposed(fastmri_file):
    kspace = measured_kspace()
    path = fastmri_file(kspace, header())
    with RawFile(path) as raw:
        assert raw.format == "fastMRI"
        assert raw.number_of_acquisitions == 3 * 14
        assert raw.number_of_waveforms == 0
    truth = reconstruction_rss(kspace)
    assert truth.shape == (3, *CROP)
    np.testing.assert_allclose(images(path), truth.swapaxes(1, 2), rtol=1e-4, atol=1e-5)


def test_lines_outside_the_limits_and_the_mask_are_not_measured(fastmri_file):
    mask = np.arange(LINES) % 3 == 0
    kspace = measured_kspace(first=0, last=LINES)
    (buffer, *_) = buffers(fastmri_file(kspace, header(), mask))
    lines = np.flatnonzero(buffer.kspace.mask.any(axis=(0, 2)))
    assert lines.tolist() == [3, 6, 9, 12, 15]
    assert buffer.kspace.weight.max() == 1


def test_lines_of_zeros_are_not_measured_although_nothing_says_so(fastmri_file):
    kspace = measured_kspace()
    kspace[..., ::2] = 0
    (buffer, *_) = buffers(fastmri_file(kspace, header()))
    assert np.flatnonzero(buffer.kspace.mask.any(axis=(0, 2))).tolist() == [*range(3, 16, 2)]


def test_an_empty_slice_in_the_middle_does_not_say_what_was_measured(fastmri_file):
    kspace = measured_kspace()
    kspace[1] = 0
    found = buffers(fastmri_file(kspace, header()))
    whole = buffers(fastmri_file(measured_kspace(), header(), name="whole.h5"))
    np.testing.assert_array_equal(found[0].kspace.mask, whole[0].kspace.mask)
    np.testing.assert_array_equal(found[2].kspace.data, whole[2].kspace.data)


def test_single_coil_files_have_no_coil_axis(fastmri_file):
    kspace = measured_kspace(coils=1)
    path = fastmri_file(kspace[:, 0], header(coils=15))
    with RawFile(path) as raw:
        assert b"<receiverChannels>1<" in raw.header_xml
    truth = np.abs(center_crop(ifft2c(kspace[:, 0]), CROP))
    np.testing.assert_allclose(images(path), truth.swapaxes(1, 2), rtol=1e-4, atol=1e-5)


def test_the_header_is_made_to_fit_the_data(fastmri_file, caplog):
    kspace = measured_kspace(slices=2, lines=16, first=1, last=15)
    xml = header(slices=9, lines=18, first=2, last=16)
    with caplog.at_level(logging.INFO):
        path = fastmri_file(kspace, xml)
        (buffer, _) = buffers(path)
    assert "encodedSpace/matrixSize/y and encoding/encodingLimits/slice/maximum" in caplog.text
    assert buffer.encoding.encoded.matrix == (READOUT, 16, 1)
    assert buffer.encoding.encoded.field_of_view_mm == (48, 2 * LINES, 7.5)
    assert buffer.encoding.limits["slice"].maximum == 1
    # The middle of k-space stays the middle of the file's lines.
    np.testing.assert_allclose(
        np.flatnonzero(buffer.kspace.mask.any(axis=(0, 2))), np.arange(1, 15)
    )


def test_a_header_that_fits_is_left_as_it_is(fastmri_file):
    xml = header(extra="<userParameters/>")
    with RawFile(fastmri_file(measured_kspace(), xml.encode())) as raw:
        assert raw.header_xml == xml.encode()


def test_readouts_tell_where_they_belong(fastmri_file):
    with RawFile(fastmri_file(measured_kspace(), header())) as raw:
        readouts = list(raw.acquisitions())
        sent = [decode(message) for one in raw.messages() for message in messages_in(one)]
    assert sent == readouts
    assert [one.scan_counter for one in readouts] == list(range(42))
    last = [number for number, one in enumerate(readouts) if one.flags]
    assert last == [13, 27, 41]
    assert readouts[41].is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    assert [one.position[2] for one in readouts[::14]] == [-5, 0, 5]
    assert [one.idx.kspace_encode_step_1 for one in readouts[:14]] == list(range(14))
    assert readouts[0].center_sample == READOUT // 2


def test_interchanged_axes_are_an_error(fastmri_file):
    kspace = measured_kspace().swapaxes(-2, -1)
    with pytest.raises(DataError, match="last two axes are interchanged"):
        RawFile(fastmri_file(kspace, header()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xml": None}, "'ismrmrd_header' is missing"),
        ({"xml": ""}, "'ismrmrd_header' is missing"),
        ({"xml": "<x"}, "not well-formed"),
        ({"mask": np.ones(5)}, "each of the 18 lines"),
        ({"mask": np.zeros(LINES)}, "no measured line"),
        ({"kspace": np.zeros((3, 4, READOUT, LINES), np.complex64)}, "no measured line"),
        ({"kspace": np.zeros((3, 4, READOUT, LINES))}, "must be complex"),
        ({"kspace": np.zeros((1, 3, 4, READOUT, LINES), np.complex64)}, "must be complex"),
        ({"kspace": np.zeros((0, 4, READOUT, LINES), np.complex64)}, r"got \[0, 4, 24, 18\]"),
    ],
)
def test_what_a_file_lacks_is_named(fastmri_file, change, message):
    path = fastmri_file(**{"kspace": measured_kspace(), "xml": header(), **change})
    with pytest.raises(DataError, match=message):
        RawFile(path)


def test_a_file_of_this_kind_has_one_group(fastmri_file):
    path = fastmri_file(measured_kspace(), header())
    with RawFile(path, "kspace") as raw:
        assert raw.group == "kspace"
    with pytest.raises(ConfigError, match="no raw data in 'dataset'; it has some in 'kspace'"):
        RawFile(path, "dataset")
