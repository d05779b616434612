import keras
import numpy as np
import pytest

import kertl
from kertl.callbacks import EpochSeeds
from kertl.data import augment
from tests.messages import assert_names


def images(count=8, side=16):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def apply(strength, x, training=True):
    for layer in augment.layers(strength):
        x = layer(x, training=training)
    return keras.ops.convert_to_numpy(x)


def test_every_strength_that_a_recipe_may_name_has_layers():
    assert {strength: len(augment.layers(strength)) for strength in augment.STRENGTHS} == {
        "none": 0,
        "light": 2,
        "strong": 7,
    }


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_pictures_are_varied_in_training_and_left_alone_otherwise(strength):
    x = images()
    np.testing.assert_array_equal(apply(strength, x, training=False), x)
    varied = apply(strength, x)
    assert varied.shape == x.shape
    assert all(not np.array_equal(a, b) for a, b in zip(x, varied, strict=True))


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_pixels_stay_between_0_and_255(strength):
    extremes = np.concatenate([np.zeros((8, 16, 16, 3)), np.full((8, 16, 16, 3), 255.0)]).astype("float32")
    varied = apply(strength, extremes)
    assert varied.min() >= 0
    assert varied.max() <= 255 + 1e-3


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_pictures_of_a_batch_are_varied_differently(strength):
    x = np.repeat(images(1), 8, axis=0)
    varied = apply(strength, x)
    assert len({picture.tobytes() for picture in varied}) >= 6


@pytest.mark.parametrize(("strength", "share"), [("light", 0.1), ("strong", 0.2)])
def test_the_amounts_are_those_that_are_written(strength, share):
    configs = {layer.name: layer.get_config() for layer in augment.layers(strength)}
    assert configs["augment_flip"]["mode"] == "horizontal"
    assert configs["augment_brightness"]["factor"] == (-share, share)
    if strength == "strong":
        lower, upper = configs["augment_rotation"]["factor"]
        assert (360 * lower, 360 * upper) == pytest.approx((-18, 18))
        assert configs["augment_zoom"]["height_factor"] == 0.1
        assert configs["augment_zoom"]["width_factor"] is None  # as the height: the shape of things stays
        shift = configs["augment_shift"]
        assert (shift["height_factor"], shift["width_factor"]) == (0.1, 0.1)
        assert configs["augment_contrast"]["factor"] == (0, share)
        assert "augment_erasing" in configs


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_layers_survive_their_config_with_their_names(strength):
    made = augment.layers(strength)
    again = [keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)) for layer in made]
    assert [layer.name for layer in again] == [layer.name for layer in made]
    assert all(layer.name.startswith("augment_") for layer in made)


EVERY = [[name] for name in augment.TRANSFORMATIONS] + [
    [(name, amount.most)] for name, amount in augment.TRANSFORMATIONS.items() if name != "flip"
]


@pytest.fixture(params=[*EVERY, [("flip", "vertical")], [("flip", "horizontal_and_vertical")]], ids=str)
def each(request):
    """Each transformation there is, by its usual and by its largest amount."""
    return request.param


def test_each_transformation_keeps_shape_dtype_and_range_and_is_off_in_inference(each):
    keras.utils.set_random_seed(0)
    x = images(64)
    x[0], x[1] = 0, 255
    np.testing.assert_array_equal(apply(each, x, training=False), x)
    varied = apply(each, x)
    assert (varied.shape, varied.dtype) == (x.shape, np.float32)
    assert varied.min() >= 0
    assert varied.max() <= 255 + 1e-3
    assert np.mean([np.abs(a - b).max() > 0.5 for a, b in zip(x, varied, strict=True)]) > 0.2


def test_each_transformation_survives_json_and_its_layer_its_config(each):
    plan = kertl.Recipe(stages=[kertl.Stage("deep", augment=each)])
    assert kertl.Recipe.from_json(plan.to_json()) == plan
    assert hash(plan) == hash(kertl.Recipe.from_json(plan.to_json()))
    (layer,) = augment.layers(plan.stages[0].augment)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    x = images()
    np.testing.assert_array_equal(augment.varied([again], x, 3), augment.varied([layer], x, 3))


def test_each_transformation_is_a_function_of_seed_epoch_and_batch(each):
    def drawn(seed, epochs, before):
        """Each batch of each epoch, as a model sees it that has the layer in front."""
        inputs = x = keras.Input((16, 16, 3))
        for layer in augment.layers(each):
            x = layer(x)
        model = keras.Model(inputs, x)
        callback = EpochSeeds(seed)
        callback.set_model(model)
        for _ in range(before):
            model(images(), training=True)
        found = {}
        for epoch in epochs:
            callback.on_epoch_begin(epoch)
            for batch in range(2):
                found[epoch, batch] = keras.ops.convert_to_numpy(model(images(), training=True)).tobytes()
        return found

    whole, later = drawn(3, range(2), 0), drawn(3, [1], 2)
    assert later.items() <= whole.items()
    assert len(set(whole.values())) == 4
    assert not later.items() & drawn(4, [1], 0).items()


def test_a_list_runs_in_its_order_and_a_strength_is_such_a_list():
    chosen = ["zoom", ("flip", "vertical"), ("contrast", 0.5)]
    assert [layer.name for layer in augment.layers(chosen)] == ["augment_zoom", "augment_flip", "augment_contrast"]
    for name, pairs in augment.STRENGTHS.items():
        made = [layer.get_config() for layer in (augment.layers(pairs) if pairs else [])]
        assert made == [layer.get_config() for layer in augment.layers(name)]


def test_saturation_leaves_grey_and_brightness_alone_and_one_half_is_no_change():
    x = images()
    varied = apply([("saturation", 0.6)], x)
    np.testing.assert_allclose(varied.max(axis=-1), x.max(axis=-1), atol=1e-3)
    grey = np.repeat(x[..., :1], 3, axis=-1)
    np.testing.assert_allclose(apply([("saturation", 0.6)], grey), grey, atol=1e-3)
    np.testing.assert_allclose(apply([("saturation", 1e-6)], x), x, atol=1e-2)


def test_cutout_greys_a_rectangle_of_that_side_in_every_picture_and_erasing_one_picture_in_four():
    x = np.full((400, 16, 16, 3), 200, "float32")
    varied = apply([("cutout", 0.5)], x)
    assert set(np.unique(varied)) == {127.5, 200.0}
    assert {int(np.sum(picture == 127.5)) for picture in varied} == {8 * 8 * 3}
    erased = np.mean([not np.array_equal(a, b) for a, b in zip(apply(["erasing"], x), x, strict=True)])
    assert 0.18 < erased < 0.32


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("strongest", ("`augment`", "'none'", "'light'", "augment='strongest'", "Did you mean 'strong'")),
        ("flip", ("`augment`", "augment='flip'", "['flip']")),
        ([], ("`augment`", "augment=[]")),
        ([("rotation", 0.1, 0.2)], ("`augment`", "augment=('rotation', 0.1, 0.2)", "('rotation', 0.05)")),
        (["rotate"], ("`augment`", *map(repr, augment.TRANSFORMATIONS), "augment='rotate'", "Did you mean 'rotation'")),
        ([("rotation", 0.6)], ("`rotation`", "> 0", "<= 0.5", "rotation=0.6")),
        ([("zoom", 0)], ("`zoom`", "> 0", "<= 0.9", "zoom=0")),
        ([("hue", float("nan"))], ("`hue`", "> 0", "<= 1.0", "hue=nan")),
        ([("flip", 0.5)], ("`flip`", "'horizontal'", "'vertical'", "'horizontal_and_vertical'", "flip=0.5")),
        (["flip", ("flip", "vertical")], ("`augment`", "once", "augment=['flip', ('flip', 'vertical')]")),
    ],
)
def test_what_is_no_augmentation_is_refused_by_a_stage_and_by_the_layers(wrong, named):
    for made in (augment.layers, lambda value: kertl.Stage("deep", augment=value)):
        with pytest.raises(ValueError, match="must be") as caught:
            made(wrong)
        assert_names(caught.value, *named)
