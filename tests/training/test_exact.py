"""Stages whose head is solved: what they train, what they refuse, and solving once more on all images."""

import dataclasses
import json
import logging

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import kertl
from kertl.errors import RunError
from kertl.runner import _stage
from kertl.tasks import task_named
from kertl.training import Learner, _exact, choose
from tests.families import tiny_backbone
from tests.messages import assert_names
from tests.runs import NAMES, classifier, quick, recipe, same, squares, tiny, weights

EXACT = kertl.Stage("deep", solver="exact")


def wide(**head):
    keras.utils.set_random_seed(1)
    return kertl.build(tiny_backbone(), class_names=NAMES, head=kertl.Head(depths="auto", **head))


def noisy(**options):
    """Squares, a sixth of them with another class's label, so that the best penalty is not the weakest."""
    data = squares(per_class=24, **options)
    labels = np.concatenate([np.asarray(part.labels) for part in (data.train, data.validation, data.test)])
    pictures = np.concatenate(
        [
            part.in_order()[i][0]
            for part in (data.train, data.validation, data.test)
            for i in range(len(part.in_order()))
        ]
    )
    labels[::6] = (labels[::6] + 1) % 3
    return kertl.data.from_arrays(
        pictures, labels, **{"validation": 0.25, "test": 0.25, "batch_size": 8, "class_names": NAMES, **options}
    )


@pytest.fixture(scope="module")
def data():
    return noisy()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return kertl.fine_tune(wide(), data, recipe=recipe(EXACT), run_dir=folder, verbose=0)


def features(model, part):
    return np.asarray(kertl.extract(model, part, at="deep", engine="keras").values, np.float64)


def test_the_head_is_the_one_that_scikit_learn_finds_at_the_strength_that_was_chosen(run, data):
    strength = json.loads((run.run_dir / "choices.json").read_text())["0"]["strength"]
    scaler = StandardScaler().fit(features(run.model, data.train))
    model = LogisticRegression(C=1 / (strength * data.train.num_examples), tol=1e-8, max_iter=10_000)
    model.fit(scaler.transform(features(run.model, data.train)), data.train.labels)
    expected = model.predict_proba(scaler.transform(features(run.model, data.test)))
    np.testing.assert_allclose(kertl.predict(run.model, data.test), expected, atol=0.02)
    assert np.ptp(expected, axis=0).min() > 0.5


def test_nothing_else_changes_and_the_history_has_one_epoch_without_steps(run):
    kept = same(weights(wide()), weights(run.model))
    assert {path for path, alike in kept.items() if not alike} == {"predictions/kernel", "predictions/bias"}
    assert len(run.rows) == 1
    assert run.rows[0]["learning_rate"] == 0
    assert run.rows[0]["val_loss"] == pytest.approx(run.stages[0].value)
    assert run.refit is None


def test_a_finished_run_is_read_with_its_head(run, data):
    again = kertl.fine_tune(wide(), data, recipe=recipe(EXACT), run_dir=run.run_dir, verbose=0)
    assert all(same(weights(run.model), weights(again.model)).values())


def test_it_is_solved_once_more_on_all_images_and_the_validation_metrics_are_from_before(run, data, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "kertl"):
        again = kertl.fine_tune(wide(), data, recipe=recipe(EXACT, refit=True), run_dir=tmp_path, verbose=0)
    images = data.train.num_examples + data.validation.num_examples
    for begin, end in (("Extracting features of 36 images", "Extracted features of 36"), ("Solving", "The head was")):
        assert 0 <= caplog.text.find(begin) < caplog.text.find(end), caplog.text
    assert "1 epochs" not in caplog.text
    told = json.loads((tmp_path / "metrics.json").read_text())
    strength = json.loads((tmp_path / "choices.json").read_text())["0"]["strength"]
    assert dict(again.refit) == told["refit"] == {"stage": 0, "images": images, "strength": strength}
    assert again.metrics["validation"] == run.metrics["validation"]
    both = np.concatenate([features(run.model, part) for part in (data.train, data.validation)])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    scaler = StandardScaler().fit(both)
    model = LogisticRegression(C=1 / (strength * images), tol=1e-8, max_iter=10_000).fit(scaler.transform(both), labels)
    expected = model.predict_proba(scaler.transform(features(run.model, data.test)))
    np.testing.assert_allclose(kertl.predict(again.model, data.test), expected, atol=0.02)
    judged = kertl.evaluate(again.model, data)
    for metric in ("accuracy", "crossentropy"):
        assert again.metrics["test"][metric] == pytest.approx(judged[metric], abs=1e-4)
    assert str(images) in again.table()
    read = kertl.fine_tune(wide(), data, recipe=recipe(EXACT, refit=True), run_dir=tmp_path, verbose=0)
    assert read.refit == told["refit"]


def test_a_head_that_is_not_of_the_best_stage_is_not_solved_again(data):
    plan = recipe(EXACT, quick("deep", epochs=1, learning_rate=1e-6, label_smoothing=0.0), refit=True)
    worse = dataclasses.replace(plan, stages=[quick("deep", epochs=1, label_smoothing=0.0), plan.stages[0]])
    assert kertl.fine_tune(tiny(dropout=0.0), data, recipe=worse, verbose=0).refit["stage"] == 1
    best = kertl.fine_tune(tiny(dropout=0.0), data, recipe=plan, verbose=0)
    assert (best.refit is None) == (best.best_stage == 1)


@pytest.mark.promise
@pytest.mark.slow
def test_versions_class_weights_and_smoothing_count(data):
    plain = kertl.fine_tune(wide(), data, recipe=recipe(EXACT), verbose=0)
    varied = {
        "views": dataclasses.replace(EXACT, views=2, augment="light"),
        "class_weights": dataclasses.replace(EXACT, class_weights=True),
        "label_smoothing": dataclasses.replace(EXACT, label_smoothing=0.2),
    }
    few = kertl.data.from_arrays(
        *arrays(data, [0] * 4 + [1] * 20 + [2] * 30), validation=0.25, test=0.0, batch_size=8, class_names=NAMES
    )
    for name, stage in varied.items():
        given = few if name == "class_weights" else data
        before = plain if given is data else kertl.fine_tune(wide(), given, recipe=recipe(EXACT), verbose=0)
        after = kertl.fine_tune(wide(), given, recipe=recipe(stage), verbose=0)
        ends = [kertl.predict(one.model, data.test) for one in (before, after)]
        assert np.abs(ends[0] - ends[1]).max() > 1e-3, name


def arrays(data, wanted):
    """Pictures with these labels."""
    part = data.train.in_order()
    pictures = np.concatenate([part[i][0] for i in range(len(part))])
    labels = np.asarray(data.train.labels)
    taken = {label: iter(np.flatnonzero(labels == label).tolist() * 9) for label in set(wanted)}
    random = np.random.default_rng(0)
    rows = [next(taken[label]) for label in wanted]
    return np.clip(pictures[rows].astype(int) + random.integers(-9, 9, pictures[rows].shape), 0, 255).astype(
        "uint8"
    ), wanted


@pytest.mark.parametrize("task", ["binary", "multi_label", "regression"])
def test_every_task_is_solved(task):
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (60, 32, 32, 3)).astype("uint8")
    light = random.integers(20, 235, (60, 2))
    x[:, :16], x[:, 16:] = light[:, :1, None, None], light[:, 1:, None, None]
    targets = light * [10.0, 0.01] + 500
    labels = {"binary": light[:, 0] > 128, "multi_label": light > 128, "regression": targets}[task]
    names = {"binary": ["dark", "light"], "multi_label": ["top", "bottom"], "regression": ["large", "small"]}[task]
    given = kertl.data.from_arrays(
        x,
        labels.astype("float32" if task == "regression" else "int32"),
        task=task,
        class_names=names,
        validation=0.25,
        test=0.25,
        batch_size=8,
    )
    model = kertl.build(
        tiny_backbone(),
        task=task,
        class_names=names,
        target_scaling=given.target_scaling,
        head=kertl.Head(depths="auto"),
    )
    found = kertl.fine_tune(model, given, recipe=recipe(EXACT, refit=True), verbose=0).metrics["test"]
    assert {"binary": found.get("accuracy"), "multi_label": found.get("macro_f1"), "regression": found.get("r2")}[
        task
    ] > 0.8


def test_without_a_validation_set_the_strength_is_chosen_by_leaving_out_images():
    given = squares(validation=0.0)
    found = kertl.fine_tune(wide(), given, recipe=recipe(EXACT, refit=True), verbose=0)
    assert found.refit is None
    assert found.metrics["test"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("head", "at", "names"),
    [
        ({"hidden_units": (4,)}, "deep", ["head_dense_1", "predictions"]),
        ({}, "block2", ["block2_conv", "predictions"]),
    ],
)
def test_what_is_not_one_dense_layer_is_refused(data, head, at, names):
    with pytest.raises(ValueError, match="`solver` must be") as error:
        kertl.fine_tune(tiny(**head), data, recipe=recipe(kertl.Stage(at, solver="exact")))
    assert_names(error.value, "solver", "exact", *names)
    with pytest.raises(ValueError, match="solver"):
        kertl.cross_validate(classifier(**head), data, recipe=kertl.Stage(at, solver="exact"))


@pytest.mark.parametrize(
    "options",
    [
        {"at": "mid"},
        {"learning_rate": "auto"},
        {"ema": 0.9},
        {"mixup": 0.2},
        {"optimizer": "sgd"},
        {"oversample": True},
        {"cache": False},
        {"patience_epochs": 2},
        {"solver": "newton"},
    ],
)
def test_fields_without_a_meaning_are_refused(options):
    with pytest.raises(ValueError, match="must be") as error:
        kertl.Stage(**{"at": "deep", "solver": "exact", **options})
    assert_names(error.value, *(list(options)))


def test_defaults_follow_the_solver_and_survive_json():
    assert (EXACT.epochs, EXACT.label_smoothing, EXACT.augment) == (1, 0.0, "none")
    plain = kertl.Stage("deep")
    assert (plain.epochs, plain.label_smoothing, plain.augment) == (5, 0.1, "light")
    for stage in (EXACT, plain, dataclasses.replace(EXACT, views=2, augment="strong")):
        made = kertl.Recipe(stages=[stage], refit=stage.solver == "exact")
        assert kertl.Recipe.from_json(made.to_json()) == made


@pytest.mark.parametrize("classes", [3, 5])
def test_classes_that_alternate_are_in_all_folds(classes):
    labels = np.arange(60) % classes
    folds = _exact._folds(np.arange(60), np.eye(classes)[labels], task_named("single_label"))
    for fold in range(5):
        assert set(labels[folds != fold]) == set(labels[folds == fold]) == set(range(classes))
    assert max(np.bincount(folds)) == 12


def test_versions_of_an_image_are_in_one_fold_and_a_class_with_one_image_in_none():
    labels = np.array([0, 0, 0, 0, 1, 2, 2, 2, 2, 2])
    images = np.tile(np.arange(10), 2)
    folds = _exact._folds(images, np.eye(3)[np.tile(labels, 2)], task_named("single_label"))
    assert folds[:10].tolist() == folds[10:].tolist()
    assert (folds[:10] == -1).tolist() == (labels == 1).tolist()


@pytest.mark.parametrize(("task", "expected"), [("single_label", [0.05, 0.85]), ("multi_label", [0.1, 0.9])])
def test_smoothed_targets_are_those_of_the_loss(data, task, expected):
    model = kertl.build(tiny_backbone(), num_classes=4, task=task, head=kertl.Head(depths="auto"))
    labels = np.eye(4)[[1]]
    found = _exact._targets(task_named(task), labels, Learner.of(model, task), 0.2)
    assert sorted(set(found[0].round(6))) == expected


@pytest.mark.parametrize("views", [0, 2])
def test_features_in_files_give_the_head_of_features_in_memory(data, views, tmp_path, monkeypatch):
    stage = dataclasses.replace(EXACT, views=views, augment="light" if views else "none")
    kept = kertl.fine_tune(wide(), data, recipe=recipe(stage, refit=True), cache_dir=tmp_path, verbose=0)
    monkeypatch.setattr(_stage, "choose", lambda *a, **k: {**choose(*a, **k), "features": "disk", "files": True})
    monkeypatch.setattr("kertl.probes._exact._MOST_REDUCED", 0)
    stored = kertl.fine_tune(wide(), data, recipe=recipe(stage, refit=True), cache_dir=tmp_path, verbose=0)
    assert stored.refit == kept.refit
    np.testing.assert_allclose(kertl.predict(stored.model, data.test), kertl.predict(kept.model, data.test), atol=0.01)


@pytest.mark.promise
def test_a_run_that_was_killed_after_the_strength_was_written_ends_with_the_same_bits(data, run, tmp_path, monkeypatch):
    monkeypatch.setattr("kertl.training._stage.give_head", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kertl.fine_tune(wide(), data, recipe=recipe(EXACT), run_dir=tmp_path, verbose=0)
    monkeypatch.undo()
    again = kertl.fine_tune(wide(), data, recipe=recipe(EXACT), run_dir=tmp_path, verbose=0)
    assert all(same(weights(run.model), weights(again.model)).values())


def test_a_strength_that_was_never_tried_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr("kertl.training._stage.give_head", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kertl.fine_tune(wide(), data, recipe=recipe(EXACT), run_dir=tmp_path, verbose=0)
    choices = json.loads((tmp_path / "choices.json").read_text())
    for wrong in ("x", -1, 0.5):
        choices["0"]["strength"] = wrong
        (tmp_path / "choices.json").write_text(json.dumps(choices))
        with pytest.raises(RunError, match=r"choices\.json must have"):
            kertl.fine_tune(wide(), data, recipe=recipe(EXACT), run_dir=tmp_path, verbose=0)


def test_a_head_of_another_activation_than_the_task_has_is_refused():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    x, y = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), "uint8"), np.linspace(0, 1, 20)
    given = kertl.data.from_arrays(x, y, task="regression", validation=0.25, test=0.25)
    with pytest.raises(ValueError, match="linear"):
        kertl.fine_tune(model, given, recipe=recipe(EXACT))


def test_in_a_refit_validation_images_have_the_weights_of_their_classes(data, monkeypatch):
    solved = []
    solve_head = _stage.solve_head
    monkeypatch.setattr(_stage, "solve_head", lambda *a, **k: solved.append(a[2]) or solve_head(*a, **k))
    stage = dataclasses.replace(EXACT, class_weights=True)
    kertl.fine_tune(wide(), data, recipe=recipe(stage, refit=True), verbose=0)
    by_class = data.weights_by_class(True)
    ((_, validation),) = solved
    expected = [by_class[label] for label in np.asarray(data.validation.labels).tolist()]
    np.testing.assert_allclose(validation.weights, expected)
