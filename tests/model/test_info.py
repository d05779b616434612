import keras
import numpy as np
import pytest

import kertl
from kertl.model import ModelInfo, at_size, model_info, note_data, set_model_info, task_of
from kertl.tasks import TASKS
from tests.families import small_backbone

NAMES = ["no", "yes"]


def built(task="single_label", **options):
    return kertl.build(small_backbone(), class_names=NAMES, task=task, **options)


def data(resize="stretch", image_size=(32, 32), side=(32, 48), **options):
    pictures = np.random.default_rng(0).integers(0, 256, (8, *side, 3), np.uint8)
    options = {"validation": 0, "test": 0, "class_names": NAMES, **options}
    return kertl.data.from_arrays(pictures, [0, 1] * 4, resize=resize, image_size=image_size, **options)


@pytest.mark.parametrize("task", TASKS)
def test_every_model_that_is_derived_keeps_its_task_and_its_names(task, tmp_path):
    model = built(task, resize="crop")
    if TASKS[task].has_thresholds:
        set_model_info(model, ModelInfo(task, tuple(NAMES), "small", "1", (0.25,) * model.output_shape[-1]))
    kertl.save(model, tmp_path / "m.keras")
    derived = {
        "suffix": kertl.split(model, "mid")[1],
        "all of it": kertl.split(model, "full")[1],
        "stage": kertl.stage_model(model, "mid"),
        "whole stage": kertl.stage_model(model, "full"),
        "size": at_size(model, (64, 64)),
        "file": kertl.load(tmp_path / "m.keras"),
    }
    info = model_info(model)
    for name, other in derived.items():
        kept = model_info(other)
        assert (kept.task, kept.class_names, kept.thresholds) == (task, tuple(NAMES), info.thresholds)
        assert task_of(other) == task
        assert kept.resize == (None if name == "suffix" else info.resize)
        assert kept.image_size == {"suffix": None, "size": (64, 64)}.get(name, (32, 32))
        rows = np.full((1, model.output_shape[-1]), 0.25, "float32")
        assert kertl.answers(other, rows) == kertl.answers(model, rows)


def test_an_extended_model_takes_the_same_pictures():
    info = model_info(kertl.extend_classes(built(resize="pad"), ["maybe"]))
    assert (info.class_names, info.image_size, info.resize) == (("no", "yes", "maybe"), (32, 32), "pad")


def test_a_nested_head_is_extended():
    keras.utils.set_random_seed(0)
    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
    model = keras.Sequential([keras.Input((32, 32, 3)), small_backbone(), head], name="theirs")
    more = kertl.extend_classes(model, ["maybe"], class_names=NAMES)
    assert model_info(more).class_names == ("no", "yes", "maybe")
    x = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("float32")
    before, after = (keras.ops.convert_to_numpy(one(x)) for one in (model, more))
    np.testing.assert_allclose(after[:, :2] / after[:, :2].sum(axis=1, keepdims=True), before, rtol=1e-4)


def test_a_prefix_has_no_task():
    prefix, _ = kertl.split(built("binary"), "mid")
    assert model_info(prefix) is None
    with pytest.raises(ValueError, match="cannot be told"):
        task_of(prefix)


def test_data_say_what_a_model_does_not_know():
    theirs = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="sigmoid")],
        name="theirs",
    )
    info = model_info(note_data(theirs, data("pad", task="binary")))
    assert (info.task, info.class_names, info.backbone, info.resize) == ("binary", tuple(NAMES), "theirs", "pad")
    nameless = kertl.build(small_backbone(), num_classes=2)
    assert model_info(note_data(nameless, data("crop"))).class_names == tuple(NAMES)
    assert model_info(nameless).resize == "crop"
    # what is known stays
    assert model_info(note_data(built(resize="crop"), data("crop"))) == model_info(built(resize="crop"))


def test_data_that_were_resized_in_another_way_than_the_model_was_built_for_are_refused():
    with pytest.raises(ValueError, match=r"`data` must be .*resize='pad'.*data='crop'"):
        note_data(built(resize="pad"), data("crop"))


def test_data_that_were_not_resized_go_with_every_model():
    for options in ({"image_size": None, "side": (32, 32)}, {"side": (64, 64)}):
        model = note_data(built(resize="pad"), data("stretch", **options))
        assert model_info(model).resize == "pad"


def test_a_way_to_resize_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"`resize` must be .*'stretch'.* resize='padded'"):
        built(resize="padded")
