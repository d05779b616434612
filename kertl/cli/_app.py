"""The commands under one name, and how their errors are shown."""

import logging
import os
import traceback
from collections.abc import Sequence
from itertools import pairwise

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.panel import Panel
from rich.text import Text
from typer.exceptions import TyperException

import kertl
from kertl._checks import complain
from kertl._terminal import CONSOLE, Printable, printable
from kertl.cli import (
    _adapt,
    _ask,
    _augment,
    _compile,
    _demo,
    _diagnose,
    _explain,
    _export,
    _look,
    _rates,
    _report,
    _search,
    _serve,
    _studies,
    _train,
)
from kertl.errors import ArgumentError, KertlError

_COMMON = ("--debug", "--quiet", "--verbose")

app = typer.Typer(
    name="kertl",
    help="Transfer learning for Keras 3: from a folder of images to a fine-tuned, evaluated, saved classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(_train.train)
app.command("evaluate")(_ask.evaluate)
app.command("predict")(_ask.predict)
app.command("diagnose")(_diagnose.diagnose)
app.command("lr-find")(_rates.lr_find)
app.command("baselines")(_studies.baselines)
app.command("cross-validate")(_studies.cross_validate)
app.command("learning-curve")(_studies.learning_curve)
app.command("shift")(_adapt.shift)
app.command("adapt")(_adapt.adapt)
app.command("search")(_search.search)
app.command("export")(_export.export)
app.command("sensitivity")(_export.sensitivity)
app.command("benchmark")(_export.benchmark)
app.command("inspect")(_export.inspect)
app.command("verify")(_export.verify)
app.command("augment-preview")(_augment.augment_preview)
app.command("check-augmentation")(_augment.check_augmentation)
app.command("report")(_report.report)
app.command("serve")(_serve.serve)
app.command("backbones")(_look.backbones)
app.command("doctor")(_look.doctor)
app.command("compile")(_compile.compile_run)
app.command("demo")(_demo.demo)
app.command("explain")(_explain.explain)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"kertl {kertl.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_tell_version, is_eager=True),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    quiet: bool = typer.Option(False, "--quiet", help="Show results, warnings and errors alone: no progress."),
    verbose: bool = typer.Option(
        False, "--verbose", help="Show the time of each message, and the messages of TensorFlow and other libraries."
    ),
) -> None:
    if quiet and verbose:
        raise complain("--quiet", "given without --verbose", True)
    CONSOLE.quiet = quiet
    if verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    # Warnings are shown in any case.
    console = Console(stderr=True) if quiet else CONSOLE
    handler = RichHandler(console=console, show_time=verbose, show_path=False, show_level=verbose)
    handler.setFormatter(Printable("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)
    usual = logging.WARNING if quiet else logging.INFO
    logging.getLogger("kertl").setLevel(logging.DEBUG if debug or verbose else usual)
    # A run of several stages traces more often than TensorFlow finds good, and its warning names nothing of the user's.
    logging.getLogger("tensorflow").setLevel(logging.DEBUG if verbose else logging.ERROR)


def run(arguments: list[str]) -> int:
    """Run one command; the exit status: 0 for success, 1 for an error, 2 for wrong usage, 130 for an interrupt.

    Errors are one readable block on stderr; `--debug` adds the traceback. On SIGTERM a training run exits by itself,
    with status 143.
    """
    debug = "--debug" in arguments
    try:
        # Options of all commands may stand anywhere.
        common = [one for one in arguments if one in _COMMON]
        status = app([*common, *(one for one in arguments if one not in _COMMON)], standalone_mode=False)
    except TyperException as error:
        _show_error(
            f"{error.format_message()} `kertl --help` and `kertl COMMAND --help` say more.", "usage", code="usage"
        )
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = error.code if isinstance(error, KertlError) else ""
        message = _in_options(error.message if isinstance(error, KertlError) else str(error), arguments)
        if _of_usage(error, message, arguments):
            _show_error(f"{message} `kertl {_command(arguments)} --help` says more.", "usage", code)
            return 2
        _show_error(message, type(error).__name__, code)
        return 1
    return status if isinstance(status, int) else 0


def _command(arguments: Sequence[str]) -> str:
    """The name of the command among the arguments."""
    return next((one for one in arguments if not one.startswith("-")), "COMMAND")


def _of_usage(error: Exception, message: str, arguments: Sequence[str]) -> bool:
    """Whether a message is about a wrong option, or about what stands beside the options."""
    words = ("`--", *(f"`{metavar}`" for metavar in _positional(_command(arguments)).values()))
    return isinstance(error, ArgumentError) and message.startswith(words)


def _positional(command: str) -> dict[str, str]:
    """What the help calls the arguments of a command, by their names in Python."""
    known = getattr(typer.main.get_command(app), "commands", {}).get(command)
    found = [one for one in getattr(known, "params", ()) if one.param_type_name == "argument" and one.metavar]
    return {one.name: one.metavar.rstrip(".") for one in found}


def _in_options(message: str, arguments: Sequence[str]) -> str:
    """A message in which arguments of functions are called what they are called among the options that were given."""
    for option in {one.partition("=")[0] for one in arguments if one.startswith("--")}:
        word = option.removeprefix("--").replace("-", "_")
        for name in (word, f"{word}s"):  # an option is repeated where an argument is a list
            message = _renamed(message, name, option)
    for option, text in pairwise(arguments):  # the field of --stage FIELD=VALUE
        name, equals, _ = text.partition("=")
        if option in ("--stage", "--head") and equals:
            message = _renamed(message, name, f"{option} {name}")
    for name, metavar in _positional(_command(arguments)).items():
        message = _renamed(message, name, metavar)
    return message


def _renamed(message: str, name: str, shown: str) -> str:
    return message.replace(f"`{name}`", f"`{shown}`").replace(f"Received: {name}=", f"Received: {shown}=")


def _show_error(message: str, title: str, code: str = "") -> None:
    text = Text(printable(f"{message} [{code}]" if code else message, lines=True))
    hint = f"kertl explain {code}" if code else None
    panel = Panel(text, title=title, title_align="left", subtitle=hint, subtitle_align="right", border_style="red")
    Console(stderr=True).print(panel)  # even if the other one is quiet
