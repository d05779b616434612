"""The commands under one name, and how their errors are shown."""

import logging
import traceback
from collections.abc import Sequence

import typer
from rich.logging import RichHandler
from rich.panel import Panel
from rich.text import Text
from typer.exceptions import TyperException

from kertl._terminal import CONSOLE, Printable, printable
from kertl.cli import (
    _ask,
    _augment,
    _compile,
    _demo,
    _diagnose,
    _export,
    _look,
    _rates,
    _report,
    _search,
    _serve,
    _studies,
    _train,
)

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
app.command("search")(_search.search)
app.command("export")(_export.export)
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


@app.callback()
def _common(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    handler = RichHandler(console=CONSOLE, show_time=False, show_path=False, show_level=False)
    handler.setFormatter(Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("kertl").setLevel(logging.DEBUG if debug else logging.INFO)


def run(arguments: list[str]) -> int:
    """Run one command; the exit status: 0 for success, 1 for an error, 2 for wrong usage, 130 for an interrupt.

    Errors are one readable block on stderr; `--debug` adds the traceback. On SIGTERM a training run exits by itself,
    with status 143.
    """
    debug = "--debug" in arguments
    try:
        # `--debug` may stand anywhere.
        status = app(["--debug"] * debug + [a for a in arguments if a != "--debug"], standalone_mode=False)
    except TyperException as error:
        _show_error(f"{error.format_message()} `kertl --help` and `kertl COMMAND --help` say more.", "usage")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        _show_error(_in_options(str(error), arguments), type(error).__name__)
        return 1
    return status if isinstance(status, int) else 0


def _in_options(message: str, arguments: Sequence[str]) -> str:
    """A message in which arguments of functions are called what they are called among the options that were given."""
    for option in {one.partition("=")[0] for one in arguments if one.startswith("--")}:
        word = option.removeprefix("--").replace("-", "_")
        for name in (word, f"{word}s"):  # an option is repeated where an argument is a list
            message = message.replace(f"`{name}`", f"`{option}`").replace(f"Received: {name}=", f"Received: {option}=")
    return message


def _show_error(message: str, title: str) -> None:
    panel = Panel(Text(printable(message, lines=True)), title=title, title_align="left", border_style="red")
    CONSOLE.print(panel)
