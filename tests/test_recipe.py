import dataclasses
import json

import numpy as np
import pytest

import kertl
from kertl.recipe import NAMED, OPTIMIZERS, PRECISIONS, SCHEDULES, named_recipe
from tests.messages import assert_names


def other(field):
    """A value of a field of `Stage` that is not its default."""
    return {
        "at": 3,
        "solver": "exact",
        "epochs": 7,
        "learning_rate": 0.25,
        "schedule": "cosine",
        "optimizer": "lion",
        "weight_decay": 0.5,
        "label_smoothing": 0.0,
        "class_weights": "effective",
        "oversample": True,
        "augment": (("flip", "vertical"), ("rotation", 0.05)),
        "batch_norm": "train",
        "cache": False,
        "views": 3,
        "mixup": 0.2,
        "cutmix": 1.0,
        "patience_epochs": 4,
        "loss": "focal",
        "until_below_validation": True,
        "layer_decay": 0.5,
        "ema": 0.99,
        "l2_sp": 0.01,
        "lora_rank": 4,
        "gradient_checkpointing": True,
        "quantize": "int8",
        "image_size": (64, 96),
        "batch_size": "full",
    }[field]


FIELDS = [field.name for field in dataclasses.fields(kertl.Stage)]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_stage_survives_json(field):
    along = {"epochs": 1} if field == "solver" else {}
    stage = dataclasses.replace(kertl.Stage("deep"), **along, **{field: other(field)})
    precision = "float32" if field == "quantize" else "mixed_float16"
    recipe = kertl.Recipe(stages=[kertl.Stage("deep"), stage], precision=precision, seed=9)
    again = kertl.Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert getattr(again.stages[1], field) == other(field)
    assert (again.precision, again.seed) == (precision, 9)
    assert json.loads(recipe.to_json())["stages"][1][field] == json.loads(json.dumps(other(field)))


@pytest.mark.parametrize("name", NAMED)
def test_every_named_recipe_survives_json(name):
    assert kertl.Recipe.from_json(named_recipe(name).to_json()) == named_recipe(name)


def test_numbers_of_numpy_survive_json():
    recipe = kertl.Recipe(
        stages=[kertl.Stage("deep", epochs=np.int64(3), learning_rate=np.float32(0.5))], seed=np.int32(4)
    )
    assert kertl.Recipe.from_json(recipe.to_json()) == recipe


def test_recipes_are_values():
    assert kertl.Recipe(stages=[kertl.Stage("deep")]) == kertl.Recipe(stages=(kertl.Stage("deep"),))
    assert hash(named_recipe("mid")) == hash(named_recipe("mid"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        named_recipe("mid").seed = 3
    with pytest.raises(TypeError):
        kertl.Stage("deep", 5)


def test_the_named_recipes_begin_with_a_deep_stage_and_end_where_their_names_say():
    assert {name: [stage.at for stage in named_recipe(name).stages] for name in NAMED} == {
        "deep": ["deep"],
        "mid": ["deep", "mid"],
        "full": ["deep", "full"],
        "gradual": ["deep", "mid", "full"],
    }


def test_changes_to_a_named_recipe_are_made_in_every_stage():
    stages = named_recipe("gradual", epochs=2, augment="none").stages
    assert {(stage.epochs, stage.augment) for stage in stages} == {(2, "none")}
    assert [stage.learning_rate for stage in stages] == [stage.learning_rate for stage in NAMED["gradual"]]


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"`recipe` must be .*recipe='gradul'.*'gradual'"):
        named_recipe("gradul")


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("epochs", 0, [">= 1"]),
        ("epochs", 2.5, [">= 1"]),
        ("epochs", True, [">= 1"]),
        ("learning_rate", 0, ["> 0"]),
        ("learning_rate", float("nan"), ["> 0"]),
        ("learning_rate", "0.1", ["> 0", "(low, high)", "'auto'"]),
        ("weight_decay", -1, [">= 0"]),
        ("label_smoothing", 1.0, [">= 0", "< 1"]),
        ("patience_epochs", 0, [">= 1"]),
        ("schedule", "linear", [*map(repr, SCHEDULES)]),
        ("optimizer", "ftrl", [*map(repr, OPTIMIZERS)]),
        ("augment", "wild", ["'none'", "'light'", "'strong'"]),
        ("batch_norm", "off", ["'frozen'", "'train'"]),
        ("class_weights", "yes", ["True", "False", "'effective'"]),
        ("oversample", 2, ["True", "False"]),
        ("cutmix", -1, [">= 0"]),
        ("at", True, ["'deep'", "'mid'", "'full'"]),
        ("at", 1.5, ["'deep'", "'mid'", "'full'"]),
        ("at", None, ["'deep'", "'mid'", "'full'"]),
    ],
)
def test_a_value_out_of_range_is_refused_directly_and_from_json(field, value, accepted):
    named = [f"`{field}`", *accepted, f"{field}={value!r}"]
    values = {"at": "deep", field: value}
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Stage(values.pop("at"), **values)
    assert_names(caught.value, *named)
    text = json.dumps({"stages": [{"at": "deep", field: value}]})
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Recipe.from_json(text)
    assert_names(caught.value, *named)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"cutmix": 1.0, "cache": True}, ("`cutmix`", "cache=True, views=0", "cutmix=1.0", "cache=False", "`mixup`")),
        ({"cutmix": 0.5, "views": 4}, ("`cutmix`", "cache='auto', views=4", "cutmix=0.5", "views=0", "`mixup`")),
        (
            {"oversample": True, "class_weights": "effective"},
            ("`class_weights`", "oversample=True", "class_weights='effective'"),
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(values, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Stage("deep", **values)
    assert_names(caught.value, *named)


def test_a_named_recipe_with_cutmix_keeps_no_versions():
    assert [stage.views for stage in named_recipe("mid", cutmix=1.0).stages] == [0, 0]


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("precision", "float16", [*map(repr, PRECISIONS)]),
        ("seed", -1, [">= 0"]),
        ("seed", 1.0, [">= 0"]),
        ("seed", 2**32, ["<= 4000000000"]),
    ],
)
def test_a_recipes_own_values_are_checked(field, value, accepted):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Recipe(stages=[kertl.Stage("deep")], **{field: value})
    assert_names(caught.value, f"`{field}`", *accepted, f"{field}={value!r}")


@pytest.mark.parametrize("stages", [[], ["deep"], [{"at": "deep"}]])
def test_a_recipe_needs_stages(stages):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Recipe(stages=stages)
    assert_names(caught.value, "`stages`", "kertl.Stage", f"stages={stages!r}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "3",
        "null",
        "{}",
        '{"stages": []}',
        '{"stages": 3}',
        '{"stages": null}',
        '{"stages": [3]}',
        '{"stages": {"at": "deep"}}',
        '{"stages": [{}]}',
        '{"stages": [{"epochs": 3}]}',
    ],
)
def test_text_that_is_no_recipe_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        kertl.Recipe.from_json(text)


def test_names_that_no_recipe_has_are_refused_with_those_that_it_has():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Recipe.from_json('{"stages": [{"at": "deep"}], "sed": 3}')
    assert_names(caught.value, "`recipe`", "'stages'", "precision, refit, seed, stages")
    assert_names(caught.value, "recipe={'stages': [{'at': 'deep'}], 'sed': 3}")
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Recipe.from_json('{"stages": [{"at": "deep", "epoch": 3}]}')
    assert_names(caught.value, "`stage`", "'at'", *FIELDS, "stage={'at': 'deep', 'epoch': 3}")
    assert str(caught.value).endswith("'epoch' is none of them. Did you mean 'epochs'? [argument]")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: kertl.Recipe(stages=kertl.Stage("deep")), ("`stages`", "list", "Pass it in a list")),
        (lambda: kertl.Recipe(stages=None), ("`stages`", "stages=None")),
        (lambda: kertl.Recipe(stages=[kertl.Stage("deep")], refit=True), ("`refit`", "solver='exact'", "refit=True")),
        (lambda: kertl.Stage("deep", solver="exact", epochs=5), ("`epochs`", "left out", "epochs=5")),
        (lambda: kertl.Stage("deep", solver="exact", learning_rate=0.1), ("`learning_rate`", "learning_rate=0.1")),
        (lambda: kertl.Stage(0, solver="exact"), ("`at`", "'deep'", "at=0")),
        (lambda: kertl.Stage(3, solver="exact"), ("`at`", "'deep'", "at=3")),
        (lambda: kertl.Stage(-1), ("`at`", ">= 0", "at=-1")),
        (lambda: kertl.Stage("deep", solver="exact", views=2, augment="none"), ("`views`", "equal", "views=2")),
        (lambda: kertl.Stage("mid", views=4, augment="none"), ("`views`", "equal", "augment='light'")),
        (lambda: kertl.Stage("mid", image_size=(16000, 16000)), ("`image_size`", "16,777,216")),
    ],
)
def test_what_would_be_passed_over_or_found_late_is_refused_at_once(make, named):
    with pytest.raises(ValueError, match="Received") as caught:
        make()
    assert_names(caught.value, *named)


def test_a_solved_stage_takes_what_is_equal_to_its_defaults():
    assert kertl.Stage(1, solver="exact", epochs=1).epochs == 1
    assert [stage.solver for stage in named_recipe("deep", solver="exact").stages] == ["exact"]
