"""`score-gadget node`: the reconstruction as a server, for `<connect>` in a pipeline."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from gadget.cli.console import print_result
from gadget.cli.service import (
    closed_after_an_error,
    immediate_exit,
    run_server,
    set_up_server_logging,
    stop_on_signals,
    warn_if_public,
)
from gadget.cli.settings import parse_settings
from gadget.diffusion import DEFAULT_MODEL

DEFAULT_BIND = "127.0.0.1:18000"

log = logging.getLogger(__name__)

app = typer.Typer(invoke_without_command=True)


@app.callback()
def node(
    context: typer.Context,
    bind: Annotated[
        str, typer.Option(help="Address to listen on: host:port, IPv6 in square brackets.")
    ] = DEFAULT_BIND,
    model: Annotated[
        str,
        typer.Option(
            help="Prior for connections that name none: a name, a folder, or auto: by the device."
        ),
    ] = DEFAULT_MODEL,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, for connections that name none.")
    ] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Setting of `reconstruct` for connections that do not name it: steps=20. "
            "Repeatable.",
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            min=1,
            help="Buffers of one connection that may wait; those that wait and are small enough "
            "are reconstructed together.",
        ),
    ] = 4,
) -> None:
    """Serve the node `reconstruct` to pipelines that <connect> to it.

    SIGTERM, Ctrl-C or the end of its terminal ends the server when the scans that have begun are
    finished, after ten minutes at the latest; a second SIGTERM or Ctrl-C ends it at once.

    Example: score-gadget node --bind 127.0.0.1:18000 --model brain-small --set steps=20
    """
    context.obj = bind
    if context.invoked_subcommand is not None:
        return
    from gadget.stream.host.pipeline import SERVED
    from gadget.stream.node import find_node
    from gadget.stream.settings import make_settings
    from gadget.stream.wire.address import Address, listen, parse_address

    address = parse_address(bind)
    served = find_node(SERVED.module, SERVED.target)
    defaults = parse_settings(settings)
    make_settings(served.settings_model, defaults)  # reports errors before all else
    set_up_server_logging()
    listener = listen(address)  # at once: scans that come while the model is loaded wait
    address = Address(*listener.getsockname()[:2])
    warn_if_public(address)
    with immediate_exit(), closed_after_an_error(listener):
        from gadget.stream.resident.engine import Engine
        from gadget.stream.resident.resident_server import ResidentServer

        engine = Engine(model, device)
        server = ResidentServer(listener, engine, served, depth=queue, defaults=defaults)
        server.warm_up()
    stop_on_signals(server.stop)
    log.info("%s Ready at %s.", server.status().identity, address)
    run_server(server.serve)
    log.info("All scans are finished.")


@app.command()
def status(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", "--bind", help=f"Address of the server; default: {DEFAULT_BIND}."
        ),
    ] = None,
) -> None:
    """Tell how a server is; exit status 1 if it does not answer.

    Example: score-gadget node status --address 127.0.0.1:18000
    """
    from gadget.stream.resident.status import query_status
    from gadget.stream.wire.address import parse_address

    server_status = query_status(parse_address(address or context.obj))
    print_result(server_status.identity)
    print_result(server_status.activity)
