"""The commands under one name, and how their errors are shown."""

import logging
import traceback

import typer
from rich.logging import RichHandler
from rich.panel import Panel
from rich.text import Text
from typer.exceptions import TyperException

from kertl._terminal import CONSOLE, Printable, printable
from kertl.cli import _ask, _augment, _compile, _demo, _look, _rates, _search, _studies, _train

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
app.command("lr-find")(_rates.lr_find)
app.command("baselines")(_studies.baselines)
app.command("cross-validate")(_studies.cross_validate)
app.command("learning-curve")(_studies.learning_curve)
app.command("search")(_search.search)
app.command("augment-preview")(_augment.augment_preview)
app.command("check-augmentation")(_augment.check_augmentation)
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
        _show_error(str(error), type(error).__name__)
        return 1
    return status if isinstance(status, int) else 0


def _show_error(message: str, title: str) -> None:
    panel = Panel(Text(printable(message, lines=True)), title=title, title_align="left", border_style="red")
    CONSOLE.print(panel)
