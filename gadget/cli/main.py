"""The command `score-gadget`."""

from __future__ import annotations

import gc
import logging
import signal
from types import FrameType
from typing import Annotated, NoReturn

import typer

from gadget import __version__
from gadget.cli import (
    compare,
    convert,
    doctor,
    evaluate,
    inspect,
    model,
    node,
    replay,
    serve,
    simulate,
    train,
)
from gadget.cli.console import print_error, print_result, replace_unencodable, set_up_logging
from gadget.cli.signals import handle_signals
from gadget.errors import ConfigError, sentence

FAILED, MISUSED = 1, 2

log = logging.getLogger(__name__)

app = typer.Typer(
    help="Diffusion reconstruction of ISMRMRD raw data.\n\n"
    "Example: score-gadget replay raw.h5 -o out.h5 --png pictures",
    epilog="Exit status: 0 done; 1 the data could not be reconstructed, or not all of them; "
    "2 an argument, a setting or a file name is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(replay.replay)
app.command()(inspect.inspect)
app.command()(convert.convert)
app.command()(simulate.simulate)
app.command()(compare.compare)
app.command()(evaluate.evaluate)
app.command()(train.train)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.add_typer(model.app, name="model")
app.add_typer(node.app, name="node")


def _show_version(wanted: bool) -> None:
    if wanted:
        print_result(f"score-gadget {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log in detail, with tracebacks.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    set_up_logging(verbose)


def main() -> None:
    """Run the command line and leave with the documented exit status."""
    handle_signals(_terminate, signal.SIGTERM, signal.SIGHUP)
    replace_unencodable()
    try:
        app()
    except Exception as error:
        log.debug("The traceback of the error:", exc_info=True)
        print_error(sentence(error))
        # An argument named the file: in a folder that may not be entered, say.
        named = isinstance(error, OSError) and error.filename
        raise SystemExit(MISUSED if named or isinstance(error, ConfigError) else FAILED) from None
    finally:
        gc.freeze()  # saves a last garbage collection


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End as on Ctrl-C: finished images are kept, nodes are stopped."""
    if number == signal.SIGHUP:
        signal.signal(number, signal.SIG_IGN)  # shell and kernel both send it
    raise SystemExit(128 + number)
