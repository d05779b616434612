"""What holds for every result: a table, JSON and back, a short `repr`, HTML for a notebook."""

import dataclasses
import importlib
import json
import pkgutil

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl import exporting
from kertl.adaptation import Adaptation, Judged
from kertl.data import AugmentationCheck, Effect
from kertl.diagnosis import Diagnosis, Operation, Profile
from kertl.exporting import Benchmark, Checked, Export, GroupSensitivity, Inspection, Measured, Sensitivity
from kertl.hardware import Choice
from kertl.interpretation import (
    AlikeImages,
    Bin,
    Calibration,
    Confusion,
    DoubtfulLabel,
    ImageLoss,
    Interpretation,
)
from kertl.probes import Baseline, Baselines
from kertl.range_test import Curve, RangeTest
from kertl.results import LEFT_OUT, Result, called
from kertl.runner import Run, StageValue
from kertl.search import Importance, SearchResult, Trial
from kertl.studies import (
    Alarm,
    CrossValidation,
    Distances,
    Far,
    Fold,
    LabelShift,
    LearningCurve,
    Point,
    PowerLaw,
    Shift,
    ShiftAt,
    Verification,
)
from kertl.tpu import Compilation, CompiledStage
from tests.messages import assert_names

PUBLIC = [
    importlib.import_module(one.name)
    for one in pkgutil.walk_packages(kertl.__path__, "kertl.")
    if not any(part.startswith("_") for part in one.name.split("."))
]


def kinds(kind=Result):
    """All classes of results in kertl."""
    for each in kind.__subclasses__():
        if each.__module__.startswith("kertl."):
            yield each
        yield from kinds(each)


def cross_validation(images=300):
    predictions = np.random.default_rng(0).dirichlet([1, 1, 1], images).astype("float32")
    labels, fold_of = np.arange(images) % 3, np.arange(images) % 2
    metrics = ({"accuracy": 0.75, "balanced_accuracy": 0.5}, {"accuracy": 1.0, "balanced_accuracy": 1.0})
    folds = tuple(Fold(number, 150, 150, one) for number, one in enumerate(metrics))
    files = tuple(f"a folder/image {number}.png" for number in range(images))
    return CrossValidation(folds, files, labels, fold_of, predictions, ("a", "b", "ç"), 1.5, 2.5, "single_label")


def learning_curve():
    points = tuple(Point(size, (1.0, 0.9), (0.8, 0.7)) for size in (10, 20, 40))
    return LearningCurve(points, PowerLaw(0.1, 1.0, 0.5), 0.4, 100, 1.0, 2.0)


def baselines():
    rows = tuple(
        Baseline(group, at, 16, method, "strength=1", accuracy, 0.5)
        for group, at in (("block1", "block2"), ("block2", "deep"), ("block1 + block2", "deep"))
        for method, accuracy in (("nearest mean", 0.5), ("ridge", 0.75))
    )
    return Baselines(rows, rows[1], None, 0.5, {"train": 60, "validation": 20}, 3.0)


def range_test():
    rates = np.geomspace(1e-6, 1, 60)
    losses = 2 - 1.5 / (1 + np.exp(-np.linspace(-6, 6, 60)))
    return RangeTest((Curve(rates, losses, losses, 100), Curve(rates, losses, losses, 100, np.full(60, 2.0))))


def search_result(tmp_path):
    candidate = kertl.search.Candidate(
        "ResNet50", kertl.Recipe([kertl.Stage("deep", augment="none")]), kertl.Head(hidden_units=(8,))
    )
    folder = tmp_path / "search"
    (folder / "trial_0").mkdir(parents=True)
    (folder / "trial_0" / "candidate.json").write_text(candidate.to_json())
    trials = (
        Trial("0", {"units": 8, "rate": 0.5}, "COMPLETED", 0.25, 0.125, 150.0, "", (0.5, 0.25)),
        Trial("1", {"units": 8, "rate": 0.5}, "FAILED", None, None, 50.0, "no room"),
    )
    return SearchResult(trials, "val_loss", "min", folder)


def augmentation_check():
    rows = (Effect("flip", "horizontal", 0.1, 0.1, 100, 80, 9, 2), Effect("rotation", 0.5, 0.5, 0.5, 100, 50, 40, 1))
    return AugmentationCheck(rows, 0.875, "validation")


def run(tmp_path):
    recipe = kertl.Recipe([kertl.Stage("deep", augment="none"), kertl.Stage("mid")])
    rows = [
        {"stage": stage, "at": at, "epoch": epoch, "learning_rate": 0.5, "loss": 0.5 / epoch, "val_loss": 0.25}
        for stage, at, epoch in ((0, "deep", 1), (0, "deep", 2), (1, "mid", 3))
    ]
    metrics = {"validation": {"accuracy": 0.75, "images": 20}, "test": {"accuracy": 0.5, "images": 30}}
    ends = (StageValue(0, "deep", "val_loss", 0.25), StageValue(1, "mid", "val_loss", None))
    return Run(None, recipe, tuple(rows), metrics, tmp_path, 0, ends)


def exported(tmp_path):
    return Export(tmp_path / "m.tflite", "litert", "int8", 10**6, 30, "30 test images", 0.5, 0.75, None, "accuracy")


def interpretation():
    metrics = {"accuracy": 0.5, "images": 4, "intervals": {"accuracy": [0.25, 0.75]}}
    losses = (ImageLoss("a.png", "cat", "dog 0.9", 2.5, ("b.png (dog)",)),)
    doubts = (DoubtfulLabel("c.png", "train", "cat", "dog", 0.125),)
    alike = (AlikeImages("a.png", "d.png", 0.98, same_label=False),)
    confusions = (Confusion("cat", "dog", 2, 0.5),)
    return Interpretation("test", metrics, calibration(), confusions, losses, doubts, alike, notes=("None.",))


def calibration():
    return Calibration(0.25, (Bin(0.5, 0.25, 4), Bin(0.9, 0.75, 8)), 1.5, 0.125)


def compilation():
    stage = CompiledStage(0, "deep", 100, {"all-reduce": 1}, 2.5, 0.5, {"bf16": 52}, 12.0)
    return Compilation("v5e:2x2", 4, 128, "mixed_bfloat16", "m", (stage,), ("Stage 2 is solved on the host.",))


def inspection(tmp_path):
    layers, members = {"Dense": 2}, {"config.json": 100}
    shapes = ((32, 32, 3),)
    return Inspection(tmp_path, "keras", 10, "0" * 64, "3.15", "m", shapes, layers, 4, 90, (), (), {}, members)


def shift():
    apart = Distances(0.5, 0.25, 0.125, 0.0625, 0.75, (0.5, 1.0), 0.25, 0.001)
    labels = LabelShift({"cat": 0.5, "dog": 0.5}, {"cat": 0.25, "dog": 0.75}, (True, False), 0.25, 0.75, 0.5)
    return Shift((ShiftAt("stem", 8, apart, False), ShiftAt("block1", 16, apart, True)), (40, 50), labels, FARTHEST)


def adaptation():
    judged = (Judged("none", 0.0, 0.25, 0.75, 0.5, 0.875), Judged("align", 0.125, 0.25, 0.5, 0.25, 0.75))
    return Adaptation(
        None, "align", "It was asked for.", "Few.", judged, {"cat": 0.5, "dog": 0.5}, (50, 40), ("Look.",)
    )


FARTHEST = (Far("b.png", 2.5, 1.0),)

MADE = {
    Adaptation: lambda _: adaptation(),
    Alarm: lambda _: Alarm(0.001, 0.01, (40, 50), FARTHEST),
    Sensitivity: lambda _: Sensitivity(12, (GroupSensitivity("stem", 0.25, 0.5), GroupSensitivity("all", 0.5, None))),
    Shift: lambda _: shift(),
    AugmentationCheck: lambda _: augmentation_check(),
    Baselines: lambda _: baselines(),
    Benchmark: lambda _: Benchmark(
        (Measured("litert", None, None, "No runtime."),), "30 test images", 2, "a processor"
    ),
    Calibration: lambda _: calibration(),
    Choice: lambda _: Choice("cpu", "one_device", ("cpu:0",), 1, 0, "float32", ("There is nothing else.",)),
    Compilation: lambda _: compilation(),
    Export: exported,
    Inspection: inspection,
    Interpretation: lambda _: interpretation(),
    exporting.Verification: lambda tmp_path: exporting.Verification(
        tmp_path, (Checked("images", 4, ("a.png has changed.",)),)
    ),
    CrossValidation: lambda _: cross_validation(),
    Profile: lambda _: Profile(10, 61.5, 0.6, 0.25, (Operation("conv/Conv2D", 12.5), Operation("relu/Relu", 0.5))),
    Diagnosis: lambda _: kertl.diagnose({"loss": [1.0, 0.5, 0.25], "val_loss": [1.0, 0.75, 0.5]}),
    Importance: lambda _: Importance(("rate", "units"), (0.5, 0.25), (0.125, 0.0), 12, 0.75),
    LearningCurve: lambda _: learning_curve(),
    RangeTest: lambda _: range_test(),
    Run: run,
    SearchResult: search_result,
    Verification: lambda _: Verification("mid", "openvino", 12, 1e-6, 1e-3, 1e-4, 3e-2),
}


@pytest.fixture(params=MADE, ids=lambda kind: kind.__name__)
def result(request, tmp_path):
    return MADE[request.param](tmp_path)


@pytest.mark.parametrize(("part", "why"), [("validation", "highest F1"), ("test", "not tuned")])
def test_the_table_of_a_run_says_the_thresholds_and_where_they_come_from(part, why):
    metrics = {part: {"accuracy": 0.5, "images": 3, "thresholds": {f"class {k}": 0.25 for k in range(7)}}}
    recipe = kertl.Recipe(stages=[kertl.Stage("deep")])
    told = str(Run(None, recipe, (), metrics, None))
    assert_names(told, why, "class 0 0.2500", "and 2 more")
    assert "class 6" not in told


@pytest.mark.parametrize(
    ("shifted", "accuracy", "told"),
    [(True, 0.55, "cannot be estimated"), (False, 0.95, "taken to be those of a"), (True, 0.95, "instead of 0.750")],
)
def test_shares_of_classes_are_told_only_where_they_can_be_known(shifted, accuracy, told):
    found = shift()
    labels = dataclasses.replace(found.labels, accuracy=accuracy)
    depths = tuple(dataclasses.replace(depth, shifted=shifted) for depth in found.depths)
    table = dataclasses.replace(found, labels=labels, depths=depths).table()
    assert told in table
    assert ("0.25" in table.split("of b.")[1].split("Farthest")[0]) == (told == "instead of 0.750")


def test_every_result_is_tried_here_and_public_somewhere():
    found = set(kinds())
    assert found == MADE.keys()
    public = [getattr(module, name) for module in PUBLIC for name in getattr(module, "__all__", ())]
    assert found <= {each for each in public if isinstance(each, type)}


def test_json_and_back_is_the_same(result):
    again = type(result).from_json(result.to_json())
    assert type(again) is type(result)
    assert again.to_json() == result.to_json()
    assert again.table() == result.table()
    for field in dataclasses.fields(result):
        if field.metadata is not LEFT_OUT and field.metadata.get("json", "") is not None:
            same_kind(getattr(again, field.name), getattr(result, field.name))


def same_kind(one, other):
    """The types and the numbers are the same, the numbers to the six places of predictions."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        one, other = vars(one), vars(other)
        assert one.keys() == other.keys()
        one, other = tuple(one.values()), tuple(other.values())
    if isinstance(one, np.ndarray):
        np.testing.assert_allclose(one, other, atol=5e-7)
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same_kind(*pair)
    else:
        assert one == other


def test_a_dictionary_has_what_json_has_and_is_what_it_is_made_of(result):
    values = result.to_dict()
    assert json.loads(json.dumps(values)) == values == json.loads(result.to_json())
    assert type(result).from_dict(values).to_dict() == values
    keys = {field.metadata.get("json", field.name) for field in dataclasses.fields(result)} - {None}
    assert {*type(result).DERIVED} <= values.keys()
    if not isinstance(result, CrossValidation):  # it has its arrays by file
        assert keys <= values.keys()


def test_an_unknown_or_missing_name_is_an_error_that_names_it(result):
    values = result.to_dict()
    with pytest.raises(ValueError, match="colour"):
        type(result).from_dict({**values, "colour": 1})
    name = next(field.name for field in dataclasses.fields(result) if field.name in values)
    with pytest.raises(ValueError, match=name):
        type(result).from_dict({key: value for key, value in values.items() if key != name})
    with pytest.raises(ValueError, match="a JSON object"):
        type(result).from_json("[]")


def test_its_repr_is_one_short_line_and_str_the_table(result):
    assert repr(result).startswith(f"{type(result).__name__}(")
    assert len(repr(result)) <= 160
    assert "\n" not in repr(result)
    assert str(result) == result.table()
    assert len(result.table().splitlines()) > 1


def test_a_notebook_shows_the_table_and_the_picture(result):
    shown = result._repr_html_()
    assert "<pre>" in shown
    assert ("<img src" in shown) == hasattr(result, "plot")


def test_a_picture_goes_into_the_file(result, tmp_path):
    if not hasattr(result, "plot"):
        pytest.skip("it has none")
    assert result.plot().axes
    assert result.plot(tmp_path / "picture.png").axes
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 500


def test_the_names_that_files_of_searches_have_are_as_before(tmp_path):
    values = search_result(tmp_path).to_dict()
    assert values["trials"][0]["spread"] == 0.125
    assert values["best"]["backbone"] == "ResNet50"
    assert SearchResult.from_dict({**values, "folder": "gone"}).best.backbone == "ResNet50"


def test_numbers_that_are_not_finite_are_null_in_json_and_nan_again():
    rates, losses = np.geomspace(1e-6, 1, 60), np.linspace(2, 1, 60)
    losses[-1] = np.nan
    test = RangeTest((Curve(rates, losses, losses, 100),))
    text = test.to_json()
    assert json.loads(text, parse_constant=pytest.fail)["runs"][0]["losses"][-1] is None
    np.testing.assert_array_equal(RangeTest.from_json(text).runs[0].losses, losses)
    verification = Verification("mid", "openvino", 12, float("nan"), 1e-3, 1e-4, 3e-2)
    assert np.isnan(Verification.from_json(verification.to_json()).loss_difference)


@dataclasses.dataclass(frozen=True, repr=False)
class Trained(Result):
    """A result with a model, which JSON cannot hold."""

    model: object = dataclasses.field(metadata=LEFT_OUT)
    recipe: kertl.Recipe
    rows: tuple[dict[str, float], ...]
    folder: str | None = dataclasses.field(default=None, metadata=called("where"))

    def table(self):
        return "<trained>"


def test_what_json_cannot_hold_is_left_out_and_given_again():
    made = Trained(model=object(), recipe=kertl.Recipe([kertl.Stage("deep")]), rows=({"loss": np.float32(0.5)},))
    values = made.to_dict()
    assert values.keys() == {"recipe", "rows", "where"}
    assert Trained.from_dict(values).model is None
    again = Trained.from_json(made.to_json(), model=made.model)
    assert (again.model, again.recipe, again.rows) == (made.model, made.recipe, ({"loss": 0.5},))
    assert made._repr_html_() == "<pre>&lt;trained&gt;</pre>"


def test_a_field_that_json_has_no_kind_for_is_an_error_that_says_what_to_do():
    made = Trained(model=None, recipe=object(), rows=())
    with pytest.raises(TypeError, match="LEFT_OUT"):
        made.to_json()
