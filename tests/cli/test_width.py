"""Tables stay within 80 columns, whatever the classes are called, on a terminal and in a pipe."""

import io

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import kertl
from kertl.cli._tables import show_metrics
from kertl.tasks import TASKS
from tests.cli.watched import ESCAPES

LONG = "a class whose name is far too long for a narrow table of metrics by class"
NAMES = [f"{LONG}, one", f"{LONG}, two", "c"]


def metrics_of(task):
    """Metrics of a model of the task whose classes or targets have long names."""
    import keras

    count = 2 if task == "binary" else 3
    outputs = 1 if task == "binary" else count
    activation = {"single_label": "softmax", "regression": None}.get(task, "sigmoid")
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(outputs, activation)]
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (40, 8, 8, 3), dtype="uint8")
    labels = {
        "single_label": np.arange(40) % 3,
        "binary": np.arange(40) % 2,
        "multi_label": random.integers(0, 2, (40, 3)),
        "regression": 1e6 * random.normal(size=(40, 3)),
    }[task]
    data = kertl.data.from_arrays(x, labels, validation=0, test=0.5, task=task, class_names=NAMES[:count])
    model = kertl.model.describe(keras.Sequential(layers), class_names=NAMES[:count], task=task)
    return kertl.evaluate(model, data, part="test", intervals=True), data.summary()


@pytest.mark.parametrize("task", TASKS)
def test_tables_of_metrics_and_of_data_stay_within_80_columns(task):
    metrics, summary = metrics_of(task)
    for terminal in (True, False):
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=terminal)
        show_metrics({f"/a/folder/with/a/long/name/{LONG} (test)": metrics}, console)
        lines = ESCAPES.sub("", file.getvalue()).splitlines()
        assert max(map(cell_len, lines)) <= 80
        (row,) = [line for line in lines if line.startswith("│ a class") and line.count("…")][:1]
        assert "0." in row or "e+" in row or row.count("│") > 3  # its numbers are beside the name that was cut
    assert max(map(cell_len, summary.splitlines())) <= 80
