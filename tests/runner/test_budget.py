"""Recipes that keep to a time: the sums, and that a run keeps to its plan."""

import json
import time

import pytest

import kertl
from kertl.errors import RunError
from kertl.groups import find_chain
from kertl.runner import _auto
from kertl.runner._budget import Costs, costs, within
from tests.messages import assert_names
from tests.runs import squares, tiny

HEAD = kertl.Stage("deep", solver="exact")
LATER = kertl.Stage("mid", epochs=10, views=4)
RECIPE = kertl.Recipe(stages=[HEAD, LATER], refit=True)
COSTS = [Costs(30.0, 0.0), Costs(60.0, 12.0)]


@pytest.mark.parametrize(
    ("minutes", "stages", "named"),
    [
        (10, [("deep", 1), ("mid", 10)], ("30.0 s", "3.0 min", "'mid'")),
        (3, [("deep", 1), ("mid", 6)], ("2.2 min",)),  # 162 s, of which 30 are for the head: (132 - 60) / 12
        (2, [("deep", 1)], ("1.6 min", "1.3 min")),
        (0.1, [("deep", 1)], ("5.4 s", "0.0 s")),
    ],
)
def test_as_much_is_planned_as_there_is_time_for(minutes, stages, named):
    recipe, said = within(RECIPE, minutes, COSTS)
    assert [(stage.at, stage.epochs) for stage in recipe.stages] == stages
    assert recipe.refit
    assert_names(" ".join(said), *named)


def test_a_head_that_takes_epochs_gets_fewer_and_at_least_one():
    recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=40)])
    for minutes, epochs in ((10, 40), (0.5, 17), (0.01, 1)):
        found, _ = within(recipe, minutes, [Costs(10.0, 1.0)])
        assert found.stages[0].epochs == epochs


@pytest.mark.parametrize("stage", [HEAD, LATER, kertl.Stage("mid", augment="light"), kertl.Stage("full")])
def test_every_stage_has_a_cost(stage):
    model = tiny(depths="auto", dropout=None) if stage is HEAD else tiny()
    found = costs(find_chain(model), squares(), stage)
    assert found.once > 0
    assert (found.epoch == 0) == (stage is HEAD)


def test_a_run_plans_before_it_acts_and_keeps_to_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr(_auto, "_FEW_PER_CLASS", 1)
    monkeypatch.setattr(_auto, "_MORE_THAN_SOLVED_FROM", 1)
    start = time.monotonic()
    run = kertl.fine_tune(tiny(depths="auto", dropout=None), squares(), minutes=0.3, run_dir=tmp_path, verbose=0)
    assert time.monotonic() - start < 0.3 * 60 * 1.15
    written = json.loads((tmp_path / "choices.json").read_text())["recipe"]
    assert kertl.Recipe.from_json(json.dumps(written["recipe"])) == run.recipe
    assert [stage.at for stage in run.recipe.stages] == ["deep"]
    assert_names(" ".join(written["reasons"]), "0.3 minutes", "'mid'")

    def again(**options):
        return kertl.fine_tune(tiny(depths="auto", dropout=None), squares(), run_dir=tmp_path, verbose=0, **options)

    assert again(recipe="good", minutes=0.3).recipe == run.recipe
    for other in ({"minutes": 5}, {"recipe": "quick", "minutes": 0.3}, {"recipe": "auto"}):
        with pytest.raises(RunError, match=r'chosen for "auto" in 0\.3 minutes, not for'):
            again(**other)
    for wrong in ({}, {**written, "reasons": None}, {**written, "minutes": "x"}, {**written, "recipe": []}):
        (tmp_path / "choices.json").write_text(json.dumps({"recipe": wrong}))
        with pytest.raises(RunError, match=r"choices\.json' must hold what was chosen"):
            again(minutes=0.3)
    del written["preset"]  # as runs of earlier versions have it
    (tmp_path / "choices.json").write_text(json.dumps({"recipe": written}))
    assert again(recipe="quick").recipe == run.recipe


def test_a_preset_that_is_refused_leaves_the_choices_of_another_run(tmp_path):
    options = {"run_dir": tmp_path, "verbose": 0, "report": False}
    kertl.fine_tune(tiny(depths="auto", dropout=None), squares(), recipe=HEAD, **options)
    before = (tmp_path / "choices.json").read_bytes()
    with pytest.raises(RunError, match=r"recipe\.json differs"):
        kertl.fine_tune(tiny(depths="auto", dropout=None), squares(), recipe="best", **options)
    assert (tmp_path / "choices.json").read_bytes() == before


@pytest.mark.parametrize("options", [{"minutes": 0}, {"minutes": 5, "recipe": "mid"}, {"minutes": "5"}])
def test_a_time_that_is_none_or_has_no_meaning_is_refused(options):
    with pytest.raises(ValueError, match="`minutes` must be"):
        kertl.fine_tune(tiny(), squares(), **options)
