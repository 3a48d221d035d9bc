"""Speed of all that is not the prior: readouts through the nodes, and what a scan costs beside it.

Usage: python tests/benchmarks/stream.py [--raw FILE] [--slices N] [--gadgetron HOST:PORT]

The raw data are what `ismrmrd_generate_cartesian_shepp_logan -m 256 -c 16 -r 20 -C` makes: 5,121
readouts of 16 coils x 512 samples. The whole stream runs through the processes of score_hybrid.xml
with `method` `fft`. It counts as warm from the third repetition on, when the nodes have loaded what
they need, and as cold from the start of the processes to the last image; at a resident server, from
connecting to the last image. The yardstick for other machines is ismrmrd's own reader in the same
run, and Gadgetron's `default.xml` where a server is given.

Then N slices are reconstructed with the default settings: the share of the time that is spent
outside the reconstruction of slices, and the share of a slice that is not the network.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import ismrmrd
from timed_prior import TimedPrior

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.devices import select_device
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts.acquisition import header_kind, header_of
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.mrd.readouts.prewhiten import Prewhitener
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mri.kspace import KSpace
from gadget.stream.client import run_on_server
from gadget.stream.host.pipeline import Connect
from gadget.stream.host.run import run_pipeline
from gadget.stream.server.pipeline import choose_pipeline
from gadget.stream.wire.address import Address, connect

GENERATOR = ("ismrmrd_generate_cartesian_shepp_logan", "-m", "256", "-c", "16", "-r", "20", "-C")
COMMAND = (sys.executable, "-c", "from gadget.cli.start import main; main()")
START_SECONDS = 60.0
WARM_UP = 1 + 2 * 256
"""The noise readout and two repetitions."""
SAMPLE = 500
"""Readouts that ismrmrd's reader is timed with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, help="raw data instead of the generated ones")
    parser.add_argument("--slices", type=int, default=4, help="slices of the default scan")
    parser.add_argument("--gadgetron", help="address of a Gadgetron, which runs default.xml")
    arguments = parser.parse_args()
    if arguments.slices < 2:
        parser.error("--slices: 2 or more, the first is not timed")
    with tempfile.TemporaryDirectory() as folder:
        raw = arguments.raw or Path(folder, "phantom.h5")
        if arguments.raw is None:
            subprocess.run([*GENERATOR, "-o", str(raw)], check=True, capture_output=True)
        measure_readouts(raw, arguments.gadgetron)
        scan = Path(folder, "scan.h5")
        write_simulation(scan, SimulatedScan(slices=arguments.slices))
        measure_scan(scan)
        measure_slice(scan)


def measure_readouts(path: Path, gadgetron: str | None) -> None:
    """Print the readouts per second of each stage and of the whole stream."""
    speeds = {"ismrmrd.Dataset": SAMPLE / seconds(read_with_ismrmrd(path))}
    with RawFile(path) as raw:
        count = raw.number_of_acquisitions
        speeds["reading"] = count / seconds(raw.messages())
        readouts = list(islice(raw.acquisitions(), WARM_UP))
        header = parse_header(raw.header_xml)
        whitener, gatherer = Prewhitener(header), Gatherer(header)
        blocks = [ReadoutBlock.of(list(alike)) for _, alike in groupby(readouts, kind_of)]
        white: list[ismrmrd.Acquisition | ReadoutBlock] = []
        speeds["prewhiten"] = WARM_UP / seconds(map(white.append, whitener.whiten(blocks)))
        speeds["gather"] = WARM_UP / seconds(map(gatherer.add, white))
        cold, warm = stream_times(raw)
        speeds["whole stream, warm"] = (count - WARM_UP) / warm
        speeds["whole stream, cold"] = count / cold
        speeds["resident server"] = count / resident_time(raw)
        if gadgetron is not None:
            speeds["default.xml"] = count / best_of_three(
                lambda: run_on_server(
                    gadgetron, "default.xml", raw.header_xml, raw.messages(), lambda image: None
                )
            )
    print(f"{count} readouts from file to images: {cold:.1f} s")
    for name, speed in speeds.items():
        print(f"{name:20} {speed:8.0f} readouts/s {speed / speeds['ismrmrd.Dataset']:6.1f}")


def kind_of(readout: ismrmrd.Acquisition) -> bytes:
    return header_kind(header_of(readout))


def read_with_ismrmrd(path: Path) -> Iterator[ismrmrd.Acquisition]:
    data = ismrmrd.Dataset(str(path), create_if_needed=False)
    yield from map(data.read_acquisition, range(SAMPLE))
    data.close()


def seconds(steps: Iterable[object]) -> float:
    """Return how long the steps take [s]."""
    started = time.perf_counter()
    deque(steps, maxlen=0)
    return time.perf_counter() - started


def stream_times(raw: RawFile) -> tuple[float, float]:
    """Return the times from the start and from the end of the warm-up to the last image [s]."""
    first_image = threading.Event()
    marks = [time.perf_counter()]

    def messages() -> Iterator[bytes]:
        stream = raw.messages()
        yield from islice(stream, WARM_UP)
        first_image.wait()
        marks.append(time.perf_counter())
        yield from stream

    nodes = choose_pipeline("score_hybrid", {"method": "fft"}, [])
    last = marks[0]

    def take(image: ismrmrd.Image) -> None:
        nonlocal last
        last = time.perf_counter()
        first_image.set()

    run_pipeline(nodes, raw.header_xml, messages(), take)
    return last - marks[0], last - marks[1]


def resident_time(raw: RawFile) -> float:
    """Return how long the stream takes through a resident server [s]."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = Address("127.0.0.1", unused.getsockname()[1])
    (node,) = choose_pipeline("score_hybrid_remote", {"method": "fft"}, [])
    nodes = [Connect(address, node.configuration)]
    with subprocess.Popen(
        [*COMMAND, "node", "--bind", str(address)], stderr=subprocess.DEVNULL
    ) as server:
        try:
            connect(address, START_SECONDS).close()
            return best_of_three(
                lambda: run_pipeline(nodes, raw.header_xml, raw.messages(), lambda image: None)
            )
        finally:
            server.terminate()


def best_of_three(run: Callable[[], None]) -> float:
    """Return the shortest time of three runs [s]."""
    return min(seconds(run() for _ in range(1)) for _ in range(3))


def measure_scan(path: Path) -> None:
    """Print the share of a default scan that is spent outside the reconstruction of its slices."""
    started = time.perf_counter()
    arrivals: list[float] = []
    taken: list[float] = []

    def take(image: ismrmrd.Image) -> None:
        arrivals.append(time.perf_counter() - started)
        taken.append(float(image.meta["ScoreGadget_seconds"]))

    with RawFile(path) as raw:
        nodes = choose_pipeline("score_hybrid", {}, [])
        run_pipeline(nodes, raw.header_xml, raw.messages(), take)
    total = time.perf_counter() - started
    beside = 1 - sum(taken[1:]) / (arrivals[-1] - arrivals[0])
    print(f"{len(taken)} slices with the default settings: {total:.1f} s")
    print(f"  {arrivals[0] - taken[0]:.1f} s until the first slice is begun")
    print(f"  {beside:.1%} outside the reconstruction of slices from then on")


def measure_slice(path: Path) -> None:
    """Print the share of a slice that is not the network."""
    settings = SamplerSettings()
    prior = TimedPrior(load_prior(DEFAULT_MODEL, select_device(settings.device)))
    kspace = first_slice(path)
    taken = seconds(Reconstructor(settings, prior).reconstruct(kspace) for _ in range(1))
    print(f"  {1 - prior.seconds / taken:.1%} of a slice of {taken:.1f} s are not the network")


def first_slice(path: Path) -> KSpace:
    with RawFile(path) as raw:
        header = parse_header(raw.header_xml)
        whitener, gatherer = Prewhitener(header), Gatherer(header)
        white = (ready for readout in raw.acquisitions() for ready in whitener.add(readout))
        return next(buffer.kspace for one in white for buffer in gatherer.add(one))


if __name__ == "__main__":
    main()
