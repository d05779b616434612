import ast
import dataclasses

import pytest

import kertl
from kertl.diagnosis import VERDICTS, Curves, Known, judge
from kertl.diagnosis._advice import advice
from kertl.diagnosis._case import Case
from tests.diagnosis.recorded import diagnosed, of_cause, recorded

RECIPE = kertl.Recipe(stages=[kertl.Stage("mid", epochs=7, learning_rate=2e-3), kertl.Stage("full", epochs=3)])
CURVES = Curves({"loss": [1.0, 0.5, 0.4, 0.3], "val_loss": [1.0, 0.6, 0.5, 0.7], "learning_rate": [2e-3] * 4})


def calls(code):
    """What is called in the code, as it stands there, with the call."""
    return [(ast.unparse(node.func), node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("known", [Known(), Known(recipe=RECIPE)], ids=["a history", "a run"])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_what_to_try_is_python_whose_kertl_exists_and_whose_stages_are_valid(verdict, known):
    code = advice(verdict, Case(CURVES, known, 0))
    assert max(map(len, code.splitlines())) <= 78
    for name, call in calls(code):
        if not name.startswith("kertl."):
            continue
        value = kertl
        for part in name.split(".")[1:]:
            value = getattr(value, part)
        if name in ("kertl.Stage", "kertl.Head"):
            eval(compile(ast.Expression(call), "advice", "eval"), {"kertl": kertl})


def stage_of(code):
    """The one stage that is built in the code."""
    (stage,) = [call for name, call in calls(code) if name == "kertl.Stage"]
    return eval(compile(ast.Expression(stage), "advice", "eval"), {"kertl": kertl})


def test_the_advice_has_the_numbers_of_the_training():
    built = stage_of(advice("rate_too_high", Case(CURVES, Known(recipe=RECIPE), 0)))
    assert built.at == "mid"
    assert built.learning_rate == pytest.approx(2e-4)


def test_a_rate_that_was_too_high_is_to_become_lower_and_one_that_was_too_low_higher():
    for cause, lower in (("rate_too_high", True), ("rate_too_low", False)):
        found = recorded(cause)
        rate = max(found["history"]["learning_rate"])
        assert (stage_of(diagnosed(found).next).learning_rate < rate) is lower


def test_overfitting_is_to_end_at_its_best_epoch():
    curves = Curves({"loss": [1, 0.7, 0.4, 0.2, 0.1, 0.05, 0.03], "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2, 1.4]})
    assert "epochs=3" in judge(curves, Known()).next


def test_a_solved_head_is_not_told_to_take_fewer_epochs():
    recipe = kertl.Recipe(stages=[kertl.Stage("deep", solver="exact")])
    curves = Curves({"loss": [0.05], "val_loss": [0.6], "accuracy": [1.0], "val_accuracy": [0.8]})
    assert judge(curves, Known(recipe=recipe, validation_images=400)).verdict == "good_fit"
    assert judge(curves, Known(validation_images=400)).verdict == "overfitting"


def test_the_known_of_the_recorded_trainings_are_fields():
    names = {field.name for field in dataclasses.fields(Known)}
    assert all(one["known"].keys() <= names for one in of_cause("good_fit"))
