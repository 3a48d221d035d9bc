"""`score-gadget serve`: a server for scanners and clients without Gadgetron."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from gadget.cli.service import run_server, set_up_server_logging, stop_on_signals, warn_if_public

log = logging.getLogger(__name__)


def serve(
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: any.")] = 9002,
    bind: Annotated[str, typer.Option(help="Address of this machine to listen on.")] = "127.0.0.1",
    config: Annotated[
        str,
        typer.Option(
            "--config",
            "-c",
            help="Pipeline for clients that name none of the installed ones: a file, or the name "
            "of an installed one.",
        ),
    ] = "score_hybrid.xml",
    clients: Annotated[int, typer.Option(min=1, help="Scans that run at once; others wait.")] = 4,
) -> None:
    """Serve clients that speak the ISMRMRD streaming protocol: Gadgetron's own, FIRE, OpenRecon.

    SIGTERM, Ctrl-C or the end of its terminal ends the server when the scans that have begun are
    finished, after ten minutes at the latest; a second SIGTERM or Ctrl-C ends it at once.

    Example: score-gadget serve --bind 0.0.0.0 --port 9002 --config score_hybrid.xml
    """
    from gadget.stream.host.pipeline import find_pipeline, read_pipeline
    from gadget.stream.server.scan_server import ScanServer
    from gadget.stream.wire.address import Address, listen

    set_up_server_logging()
    pipeline = read_pipeline(find_pipeline(config))
    listener = listen(Address(bind.strip("[]"), port))
    address = Address(*listener.getsockname()[:2])
    warn_if_public(address)
    server = ScanServer(listener, pipeline, clients)
    stop_on_signals(server.stop)
    log.info("Ready at %s.", address)
    run_server(server.serve)
    log.info("All clients are served.")
