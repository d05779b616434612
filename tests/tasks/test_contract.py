import json

import numpy as np
import pytest

from kertl.tasks import TASKS

NAMES = ["ant", "bee", "cat"]


def example(task, images=12, seed=0):
    """Names, labels and predictions of a task, drawn."""
    random = np.random.default_rng(seed)
    names = NAMES[: task.most or 3]
    rows = random.dirichlet(np.ones(3), images)[:, : task.outputs(len(names))]
    ids = np.arange(images) % len(names)
    labels = {
        "single_label": ids.astype(np.int32),
        "binary": ids.astype(np.float32)[:, None],
        "multi_label": np.stack([ids == 0, ids < 2, ids > 0], axis=1).astype(np.float32),
        "regression": random.normal(size=(images, 3)).astype(np.float32),
    }[task.name]
    return names, labels, rows


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_a_task_says_of_predictions_are_plain_values_that_tables_can_show(task):
    names, labels, rows = example(task)
    thresholds = np.full(rows.shape[1], 0.5)
    found = task.judge(labels, rows, names, thresholds)
    assert json.loads(json.dumps(found)) == found
    assert set(task.part_columns.values()) <= found.keys()
    assert list(found[task.outputs_of]) == names
    assert all(set(task.row_columns.values()) <= row.keys() for row in found[task.outputs_of].values())
    assert ("thresholds" in found) == task.has_thresholds
    assert task.scores(labels, rows, thresholds).mean() == pytest.approx(found[task.score])
    decisions = task.decisions(rows, thresholds)
    assert (decisions is None) == (task.output_of == "target")
    for row in rows:
        answer = task.answer(row, names, thresholds, 3)
        assert json.loads(json.dumps(answer)) == answer
        for shown in (task.cells(answer), task.words(answer)):
            assert shown
            assert all(isinstance(cell, str) for cell in shown.values())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_labels_and_predictions_in_another_order_of_the_names_are_judged_alike(task):
    names, labels, rows = example(task)
    thresholds = np.full(rows.shape[1], 0.5)
    places = np.array([1, 0] if task.most == 2 else [2, 0, 1])
    renamed = [names[np.flatnonzero(places == place)[0]] for place in range(len(names))]
    moved = np.empty_like(rows)
    if task.outputs(2) == 1:
        moved = 1 - rows
    else:
        moved[:, places] = rows
    before = task.judge(labels, rows, names, thresholds)
    after = task.judge(task.placed(labels, places, len(names)), moved, renamed, thresholds)
    for metric in task.part_columns.values():
        assert after[metric] == pytest.approx(before[metric])
    for name in names:
        assert after[task.outputs_of][name] == pytest.approx(before[task.outputs_of][name])


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_members_are_the_classes_of_the_images(task):
    names, labels, _ = example(task)
    members = task.members(labels, len(names))
    if task.output_of == "target":
        assert members is None
    else:
        assert members.shape == (12, len(names))
        assert (members.sum(axis=1) == 1).all() == task.one_class


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_loss_that_a_task_names_can_be_computed(task):
    names, labels, rows = example(task)
    spreads = [1.0] * len(names)
    for loss in (task.loss(0.1, spreads), *(make(0.1, spreads) for make in task.losses.values())):
        assert np.isfinite(float(loss(labels, rows.astype("float32"))))


def test_an_activation_tells_one_task_at_most():
    told = {
        (activation, outputs): [name for name, task in TASKS.items() if task.told_by(activation, outputs)]
        for activation in ("softmax", "sigmoid", "linear", "relu")
        for outputs in (1, 2, 5)
    }
    assert told["softmax", 2] == ["single_label"]
    assert told["sigmoid", 1] == ["binary"]
    assert told["sigmoid", 2] == ["multi_label"]
    assert told["linear", 1] == told["relu", 5] == []
    assert max(map(len, told.values())) == 1
