import io

import keras
import numpy as np
import pytest
from rich.console import Console

from kertl import _terminal
from kertl.runner import _view
from kertl.runner._view import StageView


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, *, file, **options):
    """What a stage of three epochs shows, of which the second is the best."""
    console = Console(file=file, force_terminal=file.isatty(), width=80)
    for module in (_view, _terminal):
        monkeypatch.setattr(module, "CONSOLE", console)
    view = StageView("Stage 2 of 3", first=4, epochs=3, steps=2, monitor="val_loss", **options)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    view.set_model(model)
    with view:
        for epoch, loss in enumerate((0.5, 0.25, 0.75), start=4):
            view.on_epoch_begin(epoch)
            for batch in range(2):
                view.on_train_batch_end(batch)
            view.on_epoch_end(epoch, {"accuracy": 0.5, "loss": 0.125, "val_accuracy": 0.5, "val_loss": loss})
    return file.getvalue(), view


def test_elsewhere_than_on_a_terminal_an_epoch_is_a_line_counted_within_its_stage(monkeypatch):
    said, _ = shown(monkeypatch, file=io.StringIO())
    lines = said.splitlines()
    assert lines[0].startswith("Stage 2 of 3, epoch 1 of 3: loss 0.1250, val_loss 0.5000, accuracy 0.5000")
    assert lines[0].endswith(" left.")
    assert lines[2].endswith("best in epoch 2.")
    assert (len(lines), "\x1b" in said) == (3, False)


def test_on_a_terminal_a_table_shows_the_epochs_and_marks_the_best(monkeypatch):
    said, view = shown(monkeypatch, file=Terminal())
    assert "\x1b" in said
    console = Console(file=io.StringIO(), width=80)
    console.print(view.table())
    rows = [line for line in console.file.getvalue().splitlines() if line.strip()]
    assert rows[0].startswith("Stage 2 of 3, epoch 3 of 3")
    assert [row.split()[0] for row in rows[-3:]] == ["1", "2", "3"]
    assert ["best" in row for row in rows[-3:]] == [False, True, False]
    assert max(map(len, rows)) <= 80


def test_lines_can_be_asked_for_on_a_terminal(monkeypatch):
    said, _ = shown(monkeypatch, file=Terminal(), lines=True)
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_epoch_is_the_best_where_nothing_is_finite(value):
    view = StageView("Stage 1 of 1", first=0, epochs=2, steps=1, monitor="val_loss", lines=True)
    view.on_epoch_begin(0)
    view.on_epoch_end(0, {"loss": np.float32(1), "val_loss": value})
    assert "best" not in view.line()


def test_epochs_from_before_an_interruption_count():
    past = [{"stage": 1, "at": "mid", "epoch": 5, "learning_rate": 0.1, "loss": 1.0, "val_loss": 0.1}]
    view = StageView("Stage 2 of 3", first=4, epochs=3, steps=1, monitor="val_loss", past=past, lines=True)
    view.on_epoch_begin(5)
    view.on_epoch_end(5, {"loss": 1.0, "val_loss": 0.5})
    assert view.line().startswith("Stage 2 of 3, epoch 2 of 3: ")
    assert "best in epoch 1" in view.line()
