"""Recipes that are chosen: the rule, its reasons, and that a run keeps to its choice."""

import json

import numpy as np
import pytest

import kertl
from kertl.runner import _auto, _fine_tune
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import classifier, digest, squares, tiny

GIVEN = {
    "images": 1600,
    "batch_size": 32,
    "smallest_class": 500,
    "by_depth": {"block_3": 0.7, "block_6": 0.8, "block_10": 0.84, "deep": 0.85},
    "standard_error": 0.02,
    "seed": 5,
}


def stages(**changes):
    recipe, reasons = _auto.decide(**{**GIVEN, **changes})
    assert recipe.seed == 5
    return recipe.stages, " ".join(reasons)


def test_the_head_comes_first_on_kept_features_then_the_last_layers():
    (head, later), reasons = stages()
    assert (head.at, head.augment, head.epochs) == ("deep", "none", 16)
    assert (later.at, later.epochs, later.mixup) == ("mid", 10, 0.0)
    assert_names(reasons, "0.8500", "500 steps", "1600 images")


def test_training_begins_where_the_features_are_clearly_best():
    by_depth = {"block_3": 0.7, "block_6": 0.9, "block_10": 0.88, "deep": 0.85}
    found, reasons = stages(by_depth=by_depth)
    assert [stage.at for stage in found] == ["deep", "block_6"]
    assert_names(reasons, "0.9000", "0.8500")
    found, reasons = stages(by_depth=by_depth, images=6000)
    assert [stage.at for stage in found] == ["deep", "block_6", "full"]
    assert_names(reasons, "6000 images")
    found, _ = stages(by_depth={**by_depth, "block_6": 0.865, "block_10": 0.86})
    assert found[1].at == "mid", "within the standard error"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"smallest_class": 9}, ("9 images", "10")),
        ({"by_depth": {"deep": 0.985}}, ("0.0200",)),
    ],
)
def test_the_head_alone_is_trained_where_more_cannot_pay(changes, named):
    found, reasons = stages(**changes)
    assert [stage.at for stage in found] == ["deep"]
    assert_names(reasons, *named)


@pytest.mark.parametrize(("images", "epochs", "mixup"), [(64, 30, 0.0), (19_999, 3, 0.0), (20_000, 16, 0.1)])
def test_length_and_mixup_follow_the_number_of_images(images, epochs, mixup):
    found, _ = stages(images=images)
    assert (found[1].epochs, found[1].mixup) == (epochs, mixup)


def test_without_baselines_the_usual_boundary_is_taken():
    found, reasons = stages(by_depth={})
    assert found[1].at == "mid"
    assert_names(reasons, "usually")


def test_a_head_that_can_be_solved_is_solved_first_and_once_more_in_the_end():
    (head, later, _), reasons = stages(solved=True, images=5_000, by_depth={**GIVEN["by_depth"], "block_6": 0.9})
    assert (head.solver, later.at, later.solver) == ("exact", "block_6", "gradient")
    assert_names(reasons, "exactly")
    assert [stage.label_smoothing for stage in (head, later)] == [0, 0]
    assert len(stages(solved=True, images=4_999)[0]) == 2
    (alone,), reasons = stages(solved=True, sees_depths=True, images=4_999)
    assert alone.solver == "exact"
    assert_names(reasons, "4999 images", "5000")
    found, _ = stages(solved=True, head_alone=True)
    assert [stage.solver for stage in found] == ["exact"]
    assert _auto.decide(**GIVEN, solved=True)[0].refit
    assert not _auto.decide(**GIVEN)[0].refit


@pytest.mark.parametrize(
    ("head", "solver"),
    [({"depths": "auto", "dropout": None}, "exact"), ({"dropout": 0.0}, "exact"), ({}, "gradient")],
)
def test_the_preset_quick_is_the_head_alone_solved_where_it_can_be(head, solver):
    chosen = _auto.choose_recipe(tiny(**head), squares(), preset="quick")
    assert [(stage.at, stage.solver) for stage in chosen.recipe.stages] == [("deep", solver)]


def test_depths_are_not_compared_where_the_head_sees_them():
    chosen = _auto.choose_recipe(tiny(depths="auto", dropout=None), squares())
    assert not chosen.by_depth
    assert_names(" ".join(chosen.reasons), "several", "exactly")


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_keeps_to_the_recipe_that_was_chosen(tmp_path, monkeypatch):
    few = {"_HEAD_STEPS": 9, "_STEPS": ((1e9, 9),), "_FEW_PER_CLASS": 1}
    for name, value in few.items():
        monkeypatch.setattr(_auto, name, value)
    options = {"recipe": "auto", "verbose": 0, "checkpoint_seconds": 0}
    whole = kertl.fine_tune(classifier(), squares(), run_dir=tmp_path / "whole", callbacks=[Kill()], **options)
    assert whole.recipe.stages[0].at == "deep"
    kill = Kill(["on_epoch_end"], 2)
    with pytest.raises(Killed):
        kertl.fine_tune(classifier(), squares(), run_dir=tmp_path / "run", callbacks=[kill], **options)
    written = json.loads((tmp_path / "run" / "choices.json").read_text())["recipe"]
    assert kertl.Recipe.from_json(json.dumps(written["recipe"])) == whole.recipe
    assert set(written["by_depth"]) >= {"deep"}
    monkeypatch.setattr(_fine_tune, "choose_recipe", None)  # it is not asked again
    run = kertl.fine_tune(classifier(), squares(), run_dir=tmp_path / "run", callbacks=[Kill()], **options)
    assert digest(run.model) == digest(whole.model)
    again = kertl.fine_tune(classifier(), squares(), run_dir=tmp_path / "run", **options)
    assert again.recipe == whole.recipe
    assert json.loads((tmp_path / "run" / "choices.json").read_text())["recipe"] == written


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_other_tasks_get_a_recipe_without_baselines(task):

    random = np.random.default_rng(0)
    labels = random.uniform(size=(40, 2)) if task == "regression" else random.integers(0, 2, (40, 2))
    data = kertl.data.from_arrays(
        random.integers(0, 255, (40, 32, 32, 3), dtype="uint8"),
        labels,
        task=task,
        class_names=["a", "b"],
        validation=0.2,
        test=0.2,
    )
    chosen = _auto.choose_recipe(tiny(), data)
    assert [stage.at for stage in chosen.recipe.stages] in (["deep", "mid"], ["deep"])
    assert f"(task {task!r})" in chosen.reasons[0]
    assert not chosen.by_depth
