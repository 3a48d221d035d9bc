"""Time from the connection of a scan to the first evaluation of its prior.

Usage: python tests/benchmarks/startup.py [--model NAME] [--device DEVICE] [--matrix N] [--coils N]

A simulated slice is sent to `reconstruct` as plain acquisitions: started as a process, as a
pipeline with <execute> does, and at a resident server, as one with <connect> does. The time counts
from the start of the process, or from connecting, to the moment that the gathered buffer is taken
up, and to the first call of the network. In between the noise and the coils are estimated, which
takes as long for every slice.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import statistics
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.prior import NetworkPrior
from gadget.diffusion.reconstruct import Reconstructor
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.nodes.reconstruct import reconstruct
from gadget.stream.host.pipeline import Connect, Execute
from gadget.stream.host.process import NodeProcess
from gadget.stream.host.remote import RemoteNode
from gadget.stream.resident.engine import Engine
from gadget.stream.resident.resident_server import ResidentServer
from gadget.stream.resident.status import query_status
from gadget.stream.wire.address import Address, listen
from gadget.stream.wire.messages import MessageId

CLOCK = "STARTUP_CLOCK"
"""Environment variable that names the file of the times, by the clock that all processes share."""

WARM_SECONDS = 300.0


class Times(NamedTuple):
    """Milliseconds from the connection."""

    buffer: float
    evaluation: float


def note_times() -> None:
    """Write down when a buffer is taken up, and when the prior is evaluated."""

    def noted(function: Callable, name: str) -> Callable:
        @wraps(function)
        def call(*arguments, **options):
            with Path(os.environ[CLOCK]).open("a") as file:
                file.write(f"{name} {time.monotonic()}\n")
            return function(*arguments, **options)

        return call

    Reconstructor.reconstruct = noted(Reconstructor.reconstruct, "buffer")
    NetworkPrior.denoise = noted(NetworkPrior.denoise, "evaluation")


def timed_reconstruct(connection) -> None:
    """Target of `python -m gadgetron`."""
    note_times()
    reconstruct(connection)


def serve(listener: socket.socket, model: str, device: str) -> None:
    """Serve `reconstruct` until SIGTERM, in a process of its own."""
    server = ResidentServer(listener, Engine(model, device), reconstruct, depth=4)
    server.warm_up()
    note_times()
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.serve()


def time_scan(make_node: Callable[[], NodeProcess | RemoteNode], config: bytes, scan) -> Times:
    """Send a scan and return its times."""
    header, messages = scan
    Path(os.environ[CLOCK]).unlink(missing_ok=True)
    started = time.monotonic()
    node = make_node()
    connection = node.connect()
    connection.write_setup(config, header)
    connection.write(messages)
    connection.write_close()
    while (message := connection.read()).id is not MessageId.CLOSE:
        if message.id is MessageId.ERROR:
            raise SystemExit(bytes(message.payload).decode("utf-8", "replace"))
    connection.close()
    node.wait()
    lines = reversed(Path(os.environ[CLOCK]).read_text().splitlines())
    firsts = {name: float(moment) for name, moment in map(str.split, lines)}
    return Times(*(1000 * (firsts[name] - started) for name in Times._fields))


def show(name: str, times: list[Times]) -> None:
    buffer, evaluation = (statistics.median(column) for column in zip(*times, strict=True))
    fastest = min(one.evaluation for one in times)
    print(f"{name:22} {buffer:10.0f} {evaluation:12.0f} {fastest:10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--matrix", type=int, default=256)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    folder = Path(__file__).parent
    os.environ["PYTHONPATH"] = f"{folder}:{folder.parent.parent}:{os.environ.get('PYTHONPATH', '')}"
    values = {"steps": 1, "model": options.model, "device": options.device}
    lines = "".join(f'<property name="{name}" value="{value}"/>' for name, value in values.items())
    config = f"<configuration>{lines}</configuration>".encode()
    with TemporaryDirectory() as temporary:
        os.environ[CLOCK] = f"{temporary}/clock"
        raw = Path(temporary) / "raw.h5"
        write_simulation(raw, SimulatedScan(options.matrix, options.coils, slices=1))
        with RawFile(raw) as file:
            scan = file.header_xml, list(file.messages())

        print(f"{'[ms], median':22} {'to buffer':>10} {'to network':>12} {'fastest':>10}")
        execute = Execute("startup", "timed_reconstruct", config)
        show(
            "<execute>",
            [time_scan(lambda: NodeProcess(execute, lambda _: None), config, scan) for _ in "123"],
        )

        listener = listen(Address("127.0.0.1", 0))
        connect = Connect(Address(*listener.getsockname()), config)
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(listener, options.model, options.device), daemon=True
        )
        server.start()
        listener.close()
        query_status(connect.address, WARM_SECONDS)  # answered when it is warm
        times = [
            time_scan(lambda: RemoteNode(connect, 0), config, scan) for _ in range(options.repeats)
        ]
        server.terminate()
        server.join()
        show("<connect>, first scan", times[:1])
        show("<connect>", times)


if __name__ == "__main__":
    main()
