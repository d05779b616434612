from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kertl
from kertl._terminal import span
from kertl.compatibility import REQUIREMENTS, RULES, _case, _clashes, matrix
from kertl.errors import WeightsError
from kertl.model import note_trained_on
from kertl.training import support_table
from tests.families import small_backbone
from tests.messages import assert_names
from tests.runs import NAMES, classifier, quick, recipe, squares

SIDES = {"class_names": ["left hand", "right hand", "neither"]}


OF_SIDES = {"model": lambda: kertl.build(small_backbone(), **SIDES)}


@keras.saving.register_keras_serializable("tests", "own")
def own_loss(truth, said):
    return keras.losses.categorical_crossentropy(truth, said)


@pytest.fixture(scope="module")
def images():
    """Enough images for every rule about their number to be content."""
    return squares(per_class=200, validation=0.3, test=0, batch_size=16)


def mobilenet(side=32, **options):
    return kertl.build("MobileNetV2", num_classes=3, weights=None, input_shape=(side, side, 3), **options)


def learnt(model):
    """The same, no longer as it was drawn."""
    mean = next(variable for variable in model.weights if variable.name == "moving_mean")
    mean.assign(mean + 0.1)
    return model


def dropout_before_norm(rate):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=2)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dropout(rate)(x))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def trained_on(times, faint=0):
    """A classifier whose first BatchNorm has seen pixels of 0..255 times a factor, in some channels nearly nothing."""
    inputs = keras.Input((32, 32, 3))
    stem = keras.layers.Conv2D(4, 3, strides=2, name="stem")
    x = stem(inputs)
    stem.kernel.assign(stem.kernel * np.array([1e-9] * faint + [1.0] * (4 - faint), "float32"))
    x = keras.layers.BatchNormalization(momentum=0.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model(squares(per_class=8, validation=0, test=0).train.reader.take(np.arange(24)) * times, training=True)
    return model


def seen(part):
    model = classifier()
    note_trained_on(model, getattr(squares(), part))
    return model


def plateau(monitor="val_loss"):
    return {"callbacks": [keras.callbacks.ReduceLROnPlateau(monitor)]}


def suggesting(rate):
    return {"range_test": SimpleNamespace(suggestion=rate)}


# For each rule: stages, model, data and other arguments with which it finds something, and with which it does not.
# What is left out is a stage at "deep", a small classifier, and the images of the fixture.
CASES = {
    "rate-set-twice": (
        {"stages": [quick(schedule="constant"), quick("mid", schedule="cosine")], **plateau()},
        {"stages": [quick(schedule="constant")], **plateau()},
    ),
    "unknown-monitor": (
        {"stages": [quick(schedule="constant")], **plateau("val_acc")},
        {"stages": [quick(schedule="constant")], **plateau("val_accuracy")},
    ),
    "without-meaning": (
        {"stages": [quick(until_below_validation=True)], "data": lambda: squares(validation=0)},
        {"stages": [quick(until_below_validation=True)]},
    ),
    "live-augmentation-of-features": (
        {"stages": [quick(cache=True, augment="light")]},
        {"stages": [quick(cache=True, augment="light", views=2), quick(augment="light")]},
    ),
    "other-pixels-than-in-training": (
        {"model": lambda: trained_on(1 / 255)},
        {"model": lambda: trained_on(1 / 2, faint=3)},
    ),
    "frozen-part-again-and-again": (
        {"stages": [kertl.Stage("deep", epochs=20)]},
        {
            "stages": [
                kertl.Stage("deep", epochs=20, augment="none"),
                kertl.Stage("mid", epochs=20, views=4),
                kertl.Stage("mid", epochs=4),
                kertl.Stage("mid", epochs=20, cache=False),
                kertl.Stage("full", epochs=20, batch_norm="frozen"),
            ]
        },
    ),
    "batch-norm-on-small-batches": (
        {"stages": [quick("mid", batch_norm="train", batch_size=15)]},
        {"stages": [quick("mid", batch_size=15), quick("mid", batch_norm="train", epochs=20)]},
    ),
    "batch-norm-too-slow": (
        {"stages": [quick("mid", batch_norm="train")]},  # 27 steps at a momentum of 0.99
        {"stages": [quick("mid", batch_norm="train", epochs=9)]},
    ),
    "dropout-before-batch-norm": (
        {"model": lambda: dropout_before_norm(0.2)},
        {"model": lambda: dropout_before_norm(0.0)},
    ),
    "soft-labels-thrice": (
        {"stages": [quick(mixup=0.2, loss="focal", label_smoothing=0.1)]},
        {"stages": [quick(mixup=0.2, loss="focal", label_smoothing=0.0), quick(loss="focal", label_smoothing=0.1)]},
    ),
    "own-loss-of-mixed-labels": (
        {"stages": [quick(mixup=0.2, loss="tests>own")]},
        {"stages": [quick(loss="tests>own"), quick(mixup=0.2)]},
    ),
    "flip-of-left-and-right": (
        {"stages": [quick(augment="light")], "data": lambda: squares(200, validation=0.3, test=0, **SIDES), **OF_SIDES},
        {"stages": [quick()], "data": lambda: squares(200, validation=0.3, test=0, **SIDES), **OF_SIDES},
    ),
    "decay-twice": (
        {"stages": [quick("mid", l2_sp=0.1, weight_decay=1e-4)]},
        {"stages": [quick("mid", l2_sp=0.1, weight_decay=0.0)]},
    ),
    "everything-on-few-images": (
        {"stages": [quick("full")], "model": mobilenet},
        {"stages": [quick("mid"), quick("full", l2_sp=0.01, weight_decay=0.0)], "model": mobilenet},
    ),
    "small-validation": ({"data": squares}, {}),
    "held-out-images-seen": ({"model": lambda: seen("validation"), "data": squares}, {"model": lambda: seen("train")}),
    "rate-far-from-range-test": (suggesting(1e-4), suggesting(2e-3)),  # the stage has 0.01
    "size-far-from-pretraining": ({"model": lambda: learnt(mobilenet())}, {"model": mobilenet}),
    "average-on-replicas": (
        {"stages": [quick(ema=0.9)], "replicas": 2},
        {"stages": [quick(ema=0.9)]},
    ),
    "uneven-batches-on-replicas": (  # 420 images: batches of 16 leave 4
        {"stages": [quick()], "replicas": 3},
        {"stages": [quick(batch_size=30)], "replicas": 3},
    ),
    "replica-without-images": (  # 420 images for training
        {"stages": [quick(batch_size=419)], "replicas": 2},
        {"stages": [quick(batch_size=419)]},
    ),
    "unequal-shares": (  # 420 images for training, 180 for validation: batches of 16 leave 4
        {"stages": [quick(batch_size=16)], "shares": 8},
        {"stages": [quick(batch_size=16), quick(batch_size=420)], "shares": 4},
    ),
    "statistics-per-replica": (
        {"stages": [quick("mid", batch_norm="train")], "replicas": 2},
        {"stages": [quick("mid")], "model": lambda: classifier(batch_norm=False), "replicas": 2},
    ),
    "last-stage-at-another-size": (
        {"stages": [quick(image_size=(64, 64))]},
        {"stages": [quick(image_size=(64, 64)), quick("mid", image_size=(32, 32))]},
    ),
}


def found(images, stages=("deep",), model=classifier, data=None, **options):
    return kertl.check(model(), data() if data else images, recipe(*stages), **options)


def test_every_rule_has_a_case_here():
    assert {rule.name for rule in RULES} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_what_clashes_and_nothing_where_nothing_does(name, images, monkeypatch):
    clashing, fine = map(dict, CASES[name])
    there, elsewhere = clashing.pop("replicas", 1), fine.pop("replicas", 1)
    shared = [clashing.pop("shares", 1), fine.pop("shares", 1)]
    monkeypatch.setattr(_clashes, "replicas", lambda: there)
    monkeypatch.setattr(_clashes, "shares", lambda: shared[0])
    (rule,) = (rule for rule in RULES if rule.name == name)
    findings = [finding for finding in found(images, **clashing) if finding.rule == name]
    assert findings
    assert {(one.severity, one.why, one.advice, one.source) for one in findings} == {
        (rule.severity, rule.why, rule.advice, rule.source)
    }
    monkeypatch.setattr(_clashes, "replicas", lambda: elsewhere)
    monkeypatch.setattr(_clashes, "shares", lambda: shared[1])
    assert name not in {finding.rule for finding in found(images, **fine)}


def test_an_l2_penalty_beside_weight_decay_is_found_too(images):
    findings = found(images, model=lambda: classifier(l2=0.01))
    (finding,) = findings
    assert_names(finding.what, "stage 1 (at='deep')", "weight_decay=0.0001", "L2")


@pytest.mark.parametrize(("count", "empty"), [(1, ()), (2, (1,)), (4, (1, 2, 3, 5, 6))], ids=lambda value: str(value))
def test_a_replica_has_no_images_where_equal_shares_use_them_up_before(count, empty, images, monkeypatch):
    monkeypatch.setattr(_clashes, "replicas", lambda: count)
    found_empty = [
        left
        for left in range(1, 9)
        if any(one.rule == "replica-without-images" for one in found(images, [quick(batch_size=420 - left)]))
    ]
    assert found_empty == list(empty)


def test_no_validation_part_is_found(images):
    (finding,) = found(images, data=lambda: squares(40, validation=0, test=0))
    assert_names(finding.what, "validation")


def noise():
    return np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")


def multi_label():
    options = {"task": "multi_label", "class_names": NAMES, "validation": 0.25, "test": 0}
    return kertl.data.from_arrays(noise(), np.eye(3)[[0, 1, 2] * 8], **options)


def numbers():
    return kertl.data.from_arrays(noise(), np.arange(24.0), task="regression")


def broken():
    model = classifier()
    model.layers[-1].bias.assign([np.nan, 0, 0])
    return model


# For each requirement: stages, model and data that do not meet it.
UNMET = {
    "finite-weights": {"model": broken},
    "one-task": {"data": multi_label},
    "same-classes": {"data": lambda: squares(class_names=["a", "b", "c"])},
    "same-pictures": {"data": lambda: squares(side=48)},
    "classes-to-weigh": {
        "stages": [quick(class_weights=True)],
        "data": multi_label,
        "model": lambda: kertl.build(small_backbone(), class_names=NAMES, task="multi_label"),
    },
    "cutmix-of-numbers": {
        "stages": [quick("mid", cutmix=1.0)],
        "data": numbers,
        "model": lambda: kertl.build(small_backbone(), num_classes=1, task="regression"),
    },
    "colours-to-vary": {
        "stages": [quick("mid", augment=["hue"])],
        "data": lambda: squares(channels=1),
        "model": lambda: kertl.build(small_backbone(), class_names=NAMES, input_shape=(32, 32, 1)),
    },
    "known-boundary": {"stages": [quick("block9")]},
    "solvable-head": {
        "stages": [kertl.Stage("deep", solver="exact")],
        "model": lambda: classifier(hidden_units=(4,)),
    },
    "layers-for-low-rank": {"stages": [quick("deep", lora_rank=2)]},
    "layers-to-recompute": {"stages": [quick("deep", gradient_checkpointing=True)]},
    "layers-for-int8": {"stages": [quick("deep", quantize="int8")], "model": lambda: by_gelu()},
    "loss-of-the-task": {"stages": [quick(loss="huber")]},
    "possible-size": {"stages": [quick(image_size=(64, 64))], "model": lambda: flattened()},
}


def by_gelu():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(2, 3, strides=2, activation="gelu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def flattened():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, strides=2)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def test_every_requirement_has_a_case_here():
    assert {one.name for one in REQUIREMENTS} == set(UNMET)


@pytest.mark.parametrize("name", UNMET)
def test_check_finds_what_fine_tune_refuses_in_its_words(name, images):
    unmet = {"stages": [quick()], "model": classifier, "data": lambda: images, **UNMET[name]}
    plan, model, data = recipe(*unmet["stages"]), unmet["model"](), unmet["data"]()
    errors = kertl.check(model, data, plan).errors
    assert errors[0].rule == name
    with pytest.raises((ValueError, WeightsError)) as caught:
        kertl.fine_tune(model, data, recipe=plan, verbose=0)
    assert str(caught.value).rstrip(".") == errors[0].what
    assert str(errors[0]).count("..") == 0


def test_what_goes_together_gives_no_finding(images):
    findings = found(images)
    assert not findings
    assert str(findings).startswith("Nothing")


def test_errors_come_first_a_line_each(images):
    findings = found(images, stages=[quick("mid", l2_sp=0.1, schedule="cosine")], **plateau())
    assert [finding.severity for finding in findings] == ["error", "warning"]
    assert len(findings.errors) == len(findings.warnings) == 1
    first = str(findings).splitlines()[0]
    assert first.startswith("error: ReduceLROnPlateau")
    assert_names(first, "stage 1 (at='mid')", "schedule='cosine'", "schedule='constant'", "rate-set-twice")


def test_training_stops_at_errors_and_says_the_warnings(images, caplog):
    stage = quick("mid", l2_sp=0.1, schedule="cosine")
    with pytest.raises(ValueError, match=r"^`recipe`, `model`, `data` and `callbacks` must .*\nerror: ReduceLR"):
        kertl.fine_tune(classifier(), images, recipe=recipe(stage), verbose=0, **plateau())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert_names(caplog.records[0].getMessage(), "stage 1 (at='mid')", "weight_decay=0.0001", "l2_sp=0.1")


def test_the_table_in_the_docs_is_that_of_the_rules():
    text = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert matrix() in text, "write it anew: python -c 'import kertl.compatibility as c; print(c.matrix())'"
    assert support_table() in text, "write it anew: python -c 'import kertl.training as t; print(t.support_table())'"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("auto",), ("`recipe`", "'deep'", "'mid'", "'full'", "'gradual'", "recipe='auto'")),
        ((None,), ("`recipe`", "kertl.Recipe", "recipe=None")),
    ],
)
def test_what_cannot_be_checked_is_refused(arguments, named, images):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.check(classifier(), images, *arguments)
    assert_names(caught.value, *named)
    with pytest.raises(ValueError, match="`data` must be what"):
        kertl.check(classifier(), None, "deep")


def test_the_recipe_may_still_come_first_and_a_warning_says_what_is_new(images):
    model = classifier()
    with pytest.warns(FutureWarning, match=r"kertl.check\(model, data, recipe\)") as caught:
        found = kertl.check("mid", model, images)
    assert found == kertl.check(model, images, "mid")
    assert caught[0].filename == __file__


def test_what_a_frozen_part_costs_is_said_in_images_and_in_time(images, monkeypatch):
    stages = [kertl.Stage("deep", epochs=20)]
    monkeypatch.setattr(_case, "forward_seconds", lambda prefix, shape: 0.01)
    (finding,) = found(images, stages)
    count = images.train.num_examples
    assert_names(finding.what, f"{20 * count:,} images", f"{4 * count:,}", span(0.2 * count), span(0.04 * count))
    monkeypatch.setattr(_clashes, "replicas", lambda: 2)
    rules = {finding.rule for finding in found(images, stages)}
    assert "frozen-part-again-and-again" not in rules, "features are not cached on several replicas"
