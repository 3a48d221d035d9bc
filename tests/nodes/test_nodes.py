"""The nodes as processes, run by the embedded host."""

from __future__ import annotations

from typing import ClassVar

import ismrmrd
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits
from wire_bytes import messages_in

from gadget.diffusion.model_folder import read_config
from gadget.errors import ConfigError, StreamError
from gadget.mrd.buffers.recon_data import AcquisitionBucket
from gadget.mrd.readouts import flags
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.operators.fourier import fftc
from gadget.nodes.prewhiten import prewhiten
from gadget.nodes.reconstruct import _whitened
from gadget.nodes.settings import ReconstructSettings
from gadget.stream.configuration import parse_xml
from gadget.stream.host.pipeline import Execute, find_pipeline, read_pipeline
from gadget.stream.host.run import run_pipeline
from gadget.stream.settings import read_settings
from gadget.stream.wire.address import Address
from gadget.stream.wire.codec import decode, encode_bytes
from gadget.stream.wire.messages import UINT16

SIZE = 32
XML = f"""<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz>
</experimentalConditions><encoding><encodedSpace><matrixSize><x>{2 * SIZE}</x><y>{SIZE}</y><z>1</z>
</matrixSize><fieldOfView_mm><x>400</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{SIZE}</x><y>{SIZE}</y><z>1</z></matrixSize><fieldOfView_mm><x>200</x>
<y>200</y><z>5</z></fieldOfView_mm></reconSpace><encodingLimits/>
<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>""".encode()


def _node(name: str, **properties: object) -> Execute:
    lines = "".join(f'<property name="{k}" value="{v}"/>' for k, v in properties.items())
    text = f'<?xml version="1.0"?>\n<configuration>{lines}</configuration>\n'
    return Execute(f"gadget.nodes.{name}", name, text.encode())


def _chain(output: str = "magnitude", **properties: object) -> list[Execute]:
    return [
        _node("prewhiten"),
        _node("gather"),
        _node("reconstruct", device="cpu", **properties),
        _node("finish", output=output),
    ]


@pytest.fixture
def run(node_path):
    """Runs nodes; returns what came out, also after an error."""

    class Run:
        def __init__(self) -> None:
            self.images: list[ismrmrd.Image] = []
            self.progress: list = []

        def __call__(self, pipeline, header, messages):
            run_pipeline(pipeline, header, messages, self.images.append, self.progress.append)
            return self.images

    return Run()


@pytest.fixture
def without(node_path, tmp_path):
    """Makes a package fail to import in the nodes."""

    def make(package: str) -> None:
        (tmp_path / f"{package}.py").write_text(f"raise ImportError('{package} is broken here')")
        node_path(tmp_path)

    return make


@pytest.fixture
def scan(measure):
    """Truth `[y, x]` and messages of a scan: oversampled readouts, with noise readouts first."""
    truth = measure((SIZE, SIZE), coils=4, noise=0)
    rng = np.random.default_rng(1)
    images = np.zeros((4, SIZE, 2 * SIZE), np.complex64)
    images[..., SIZE // 2 : SIZE // 2 + SIZE] = truth.maps * truth.image
    kspace = fftc(images)
    messages = []

    def readout(samples, flags: int = 0, **counters: int) -> None:
        noise = rng.normal(size=(*samples.shape, 2)) @ [1, 1j] * 1e-3
        head = ismrmrd.AcquisitionHeader()
        head.version, head.flags, head.sample_time_us = 1, flags, 5
        head.active_channels, head.number_of_samples = samples.shape
        head.center_sample = samples.shape[1] // 2
        head.position, head.read_dir = (1.5, -2.5, 3.5), (1, 0, 0)
        head.phase_dir, head.slice_dir = (0, 1, 0), (0, 0, 1)
        head.acquisition_time_stamp = 1000 + len(messages)
        for name, value in counters.items():
            setattr(head.idx, name, value)
        data = np.ascontiguousarray(samples + noise, np.complex64)
        messages.append(encode_bytes(ismrmrd.Acquisition(head, data)))

    for _ in range(8):
        readout(np.zeros((4, 2 * SIZE)), 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1))
    for repetition in range(2):
        for ky in sorted({*range(0, SIZE, 2), *range(11, 21)}):
            readout(kspace[:, ky], kspace_encode_step_1=ky, repetition=repetition)
    return truth, messages


@pytest.fixture
def recorded(recording):
    """Header and messages that a Gadgetron server sent to a node."""

    def read(name: str):
        _, header, *items = messages_in(recording(name))
        xml = bytes(header.payload)
        messages = [UINT16.pack(item.id) + bytes(item.payload) for item in items[:-1]]
        return xml[xml.index(b"<") :], messages

    return read


def _header(image: ismrmrd.Image) -> bytes:
    """The header without the length of the metadata, which tell the seconds it took."""
    header = image.getHead()
    header.attribute_string_len = 0
    return bytes(header)


def _relative_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Error of the best multiple of an image: whitening has changed its unit."""
    image, truth = np.abs(image).ravel(), np.abs(truth).ravel()
    image = image * (image @ truth) / (image @ image)
    return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))


def test_a_scan_goes_through_the_whole_pipeline(run, scan):
    truth, messages = scan
    images = run(_chain(method="sense"), XML, messages)
    assert [image.image_index for image in images] == [1, 2]
    assert [image.repetition for image in images] == [0, 1]
    for image in images:
        assert image.data.shape == (1, 1, SIZE, SIZE)
        assert image.data.dtype == np.float32
        assert image.image_type == ismrmrd.IMTYPE_MAGNITUDE
        assert tuple(image.field_of_view) == (200, 200, 5)
        assert tuple(image.position) == (1.5, -2.5, 3.5)
        assert image.meta["ScoreGadget_method"] == "sense"
        assert "ScoreGadget_fallback" not in image.meta
        assert _relative_error(image.data[0, 0], truth.image) < 0.05
    assert (images[0].data != images[1].data).any()


def test_nodes_do_the_same_when_gadgetron_starts_them(run, scan, monkeypatch):
    _, messages = scan
    run(_chain(method="fft"), XML, messages)
    monkeypatch.setattr(Execute, "own", False)
    run(_chain(method="fft"), XML, messages)
    ours, theirs = run.images[:2], run.images[2:]
    assert len(ours) == len(theirs) == 2
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert _header(one) == _header(other)


@pytest.mark.parametrize("package", ["gadgetron", "torch"])
def test_a_fourier_transform_needs_little(run, scan, without, package):
    without(package)
    assert len(run(_chain(method="fft"), XML, scan[1])) == 2


def test_whitening_leaves_the_other_processors_to_the_other_nodes():
    class Session:
        header = parse_header(XML)
        threads: ClassVar[set[int]] = set()

        def in_blocks(self):
            pools = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
            self.threads.update(pool["num_threads"] for pool in pools)
            return iter(())

    with threadpool_limits(2, "blas"):
        prewhiten.function(Session())
    assert Session.threads == {1}


def test_a_broken_package_is_an_error_and_no_fallback(run, scan, without):
    without("torch")
    with pytest.raises(StreamError, match="score-gadget reconstruct: ImportError: torch is broken"):
        run(_chain(method="sense"), XML, scan[1])
    assert run.images == []


def test_a_node_that_is_not_there(run, scan):
    with pytest.raises(StreamError, match=r"(?s)status 1 .*gadget.nodes.prewhiten has no nonsense"):
        run([Execute("gadget.nodes.prewhiten", "nonsense", b"")], XML, scan[1])


def test_a_scan_of_which_nothing_arrives_is_an_error(run):
    """As behind Gadgetron's gadgets, which keep noise readouts to themselves."""
    with pytest.raises(StreamError, match="Neither a readout nor a buffer came"):
        run([_node("reconstruct", method="fft")], XML, [])


def test_a_model_reconstructs_images_and_standard_deviations(run, scan, models):
    truth, messages = scan
    settings = {"method": "fast", "model": "tiny", "steps": 5, "samples": 2, "image_series": 7}
    images = run(_chain("complex", **settings), XML, messages)
    assert [(i.image_series_index, i.image_index) for i in images] == [
        (7, 1),
        (107, 1),
        (7, 2),
        (107, 2),
    ]
    for image, std in zip(images[::2], images[1::2], strict=True):
        assert image.data.dtype == np.complex64
        assert _relative_error(image.data[0, 0], truth.image) < 0.1
        assert image.meta["ScoreGadget_method"] == "fast"
        assert image.meta["ScoreGadget_model"] == "tiny"
        assert image.meta["ScoreGadget_model_sha256"] == read_config(models / "tiny").sha256
        assert int(image.meta["ScoreGadget_steps"]) == 5
        assert std.meta["DataRole"] == "STD_MAP"
        assert std.data.dtype == np.float32
        assert 0 < std.data.mean() < np.abs(image.data).mean()
    told = [one.fields for one in run.progress if one.node == "reconstruct"]
    assert [one["image"] for one in told] == sorted(one["image"] for one in told)
    for number in (1, 2):
        done = [(one["done"], one["total"]) for one in told if one["image"] == number]
        assert done == sorted(done)
        assert done[-1] == (5, 5)


@pytest.mark.parametrize("output", ["magnitude", "uint16", "phase", "complex"])
@pytest.mark.usefixtures("models")
def test_one_node_does_the_work_of_all_four(run, scan, output):
    settings = {"method": "fast", "model": "tiny", "steps": 3, "samples": 2}
    run(_chain(output, **settings), XML, scan[1])
    chain, run.images = run.images, []
    alone = _node("reconstruct", device="cpu", prewhiten="true", output=output, **settings)
    for one, other in zip(run([alone], XML, scan[1]), chain, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.data.dtype == other.data.dtype
        assert _header(one) == _header(other)
        assert one.meta.keys() == other.meta.keys()


def test_readouts_that_wait_for_their_noise_survive_a_broken_stream(scan):
    class Session:
        header = parse_header(XML)
        settings = ReconstructSettings(prewhiten=True)

        def in_blocks(self):
            yield from (decode(next(messages_in(message))) for message in scan[1][8:18])
            raise StreamError("The other end is gone.")

    arrived = []
    with pytest.raises(StreamError, match="gone"), threadpool_limits(2, "blas"):
        arrived.extend(_whitened(Session()))
    assert len(arrived) == 10


def test_the_three_recordings_give_the_same_image(run, recorded):
    """Acquisitions, buckets and ReconData, as a Gadgetron server sends them."""
    for name in ("acq", "bucket", "buffer"):
        header, messages = recorded(name)
        run([_node("reconstruct", method="sense", device="cpu")], header, messages)
    assert len(run.images) == 3
    plain, bucket, buffer = run.images
    assert plain.data.shape == (1, 1, 256, 256)
    assert np.isfinite(plain.data).all()
    assert np.abs(plain.data).max() > 0
    for other in (bucket, buffer):
        np.testing.assert_array_equal(other.data, plain.data)
        assert _header(other) == _header(plain)


def test_buffers_cannot_be_whitened(run, recorded, caplog):
    header, messages = recorded("buffer")
    alone = _node("reconstruct", method="fft", prewhiten="true")
    assert len(run([alone], header, messages)) == 1
    assert caplog.text.count("The setting 'prewhiten' is for readouts: buffers came.") == 1


def _lines(
    messages: list[bytes], repetition: int, chosen: list[int], bits: int = 0
) -> list[ismrmrd.Acquisition]:
    """Return lines of the image readouts of `scan`, with other flags."""
    found = []
    for one in (decode(next(messages_in(message))) for message in messages[8:]):
        if one.idx.repetition == repetition and one.idx.kspace_encode_step_1 in chosen:
            one._head.flags = bits
            found.append(one)
    return found


def test_calibration_lines_of_the_first_bucket_serve_the_next_one(run, scan):
    truth, messages = scan
    separate = XML.replace(
        b"</encoding>",
        b"<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>"
        b"<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
        b"<calibrationMode>separate</calibrationMode></parallelImaging></encoding>",
    )
    even = list(range(0, SIZE, 2))
    calibration = _lines(messages, 0, list(range(11, 21)), flags.CALIBRATION)
    buckets = [
        AcquisitionBucket(_lines(messages, 0, even), calibration),
        AcquisitionBucket(_lines(messages, 1, even)),
    ]
    images = run(
        [_node("reconstruct", device="cpu", method="sense")], separate, map(encode_bytes, buckets)
    )
    errors = [_relative_error(np.abs(image.data[0, 0]), truth.image) for image in images]
    assert errors[1] < 1.1 * errors[0]


def test_what_holds_for_a_scan_is_told_once_and_not_with_every_bucket(run, scan, caplog):
    description = b"<trajectoryDescription><identifier>ConventionalEPI</identifier>"
    xml = XML.replace(b"</encoding>", description + b"</trajectoryDescription></encoding>")
    buckets = [AcquisitionBucket(_lines(scan[1], i, list(range(SIZE)))) for i in range(2)]
    assert len(run([_node("reconstruct", method="fft")], xml, map(encode_bytes, buckets))) == 2
    assert caplog.text.count("samples on gradient ramps") == 1


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"method": "fast", "model": "tinny"}, r"There is no model 'tinny' \(found: .*tiny"),
        ({"method": "quick"}, "Property 'method' must be 'fast', 'paper', 'sense' or 'fft'"),
        ({"stebs": 3}, "Property 'stebs' is not known: did you mean 'steps'"),
    ],
)
@pytest.mark.usefixtures("models")
def test_wrong_settings_are_heard_at_the_other_end(run, scan, properties, sentence):
    with pytest.raises(StreamError, match=rf"score-gadget reconstruct: .*{sentence}"):
        run([_node("reconstruct", **properties)], XML, scan[1])
    assert run.images == []


def test_a_resident_server_does_the_work_of_all_nodes():
    (remote,) = read_pipeline(find_pipeline("score_hybrid_remote"))
    assert remote.address == Address("127.0.0.1", 18000)
    assert read_settings(ReconstructSettings, remote.configuration) == ReconstructSettings(
        prewhiten=True, output="magnitude"
    )


def test_the_distributed_pipeline_has_nothing_that_gadgetron_loses():
    """It tells its workers no target of an <execute>, no address, and no <configuration>."""
    path = find_pipeline("score_hybrid_distributed")
    stream = parse_xml(path.read_bytes(), path.name).find("stream/distributed/stream")
    (node,) = stream
    assert node.find("execute") is None
    assert node.find("connect").attrib == {"port": "18000"}
    assert len(node.find("configuration")) == 0
    with pytest.raises(ConfigError, match=r"uses <distributed>\. That needs a Gadgetron server"):
        read_pipeline(path)
