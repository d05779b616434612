import keras
import numpy as np
import pytest

from kertl.data import augment
from kertl.recipe import AUGMENTATIONS


def images(count=8, side=16):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def apply(strength, x, training=True):
    for layer in augment.layers(strength):
        x = layer(x, training=training)
    return keras.ops.convert_to_numpy(x)


def test_every_strength_that_a_recipe_may_name_has_layers():
    assert augment.STRENGTHS == AUGMENTATIONS
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


def test_an_unknown_strength_is_answered_with_the_nearest():
    message = (
        r"`strength` must be 'none' or 'light' or 'strong'\. Received: strength='strongest'\. Did you mean 'strong'\?"
    )
    with pytest.raises(ValueError, match=message):
        augment.layers("strongest")
