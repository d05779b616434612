import keras
import numpy as np
import pytest

import kertl
from tests.runs import COLOURS, classifier, recipe, squares


@pytest.fixture(scope="module", params=["last", "auto"])
def trained(request):
    """A classifier of coloured squares, whose head sees the last depth or all of them."""
    model = classifier(depths=request.param, dropout=None)
    kertl.fine_tune(model, squares(), recipe=recipe(kertl.Stage("deep", solver="exact")), verbose=0)
    return model


def test_the_places_that_speak_for_a_class_are_where_its_colour_is(trained):
    data = squares(side=32)
    images, labels = data.train.in_order().reader.take(np.arange(12)), data.train.in_order().labels[:12]
    maps = kertl.interpretation.grad_cam(trained, images, labels)
    assert maps.shape == (12, 32, 32)
    assert (maps.max(axis=(1, 2)) == 1).all()
    assert maps.min() >= 0
    shares = []
    for image, label, places in zip(images, labels, maps, strict=True):
        square = (image == list(COLOURS.values())[label]).all(axis=-1)
        assert 0.1 < square.mean() < 0.3
        shares.append(places[square].mean() / places.mean())
    assert np.mean(shares) > 1.5


def test_each_output_has_places_of_its_own_and_weights_are_as_before(trained):
    before = trained.get_weights()
    images = squares().train.in_order().reader.take(np.arange(4))
    one, two = (kertl.interpretation.grad_cam(trained, images, [output] * 4) for output in (0, 1))
    assert not np.allclose(one, two)
    said = trained.predict(images, verbose=0).argmax(axis=1)
    assert np.array_equal(
        kertl.interpretation.grad_cam(trained, images), kertl.interpretation.grad_cam(trained, images, said)
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))


def single(activation="sigmoid"):
    """A model whose only map is what it says, whatever its head has learnt."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(1, 3, activation="relu", kernel_initializer="ones")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(1, activation, kernel_initializer="ones")(x), name="single")


def test_maps_that_shuffled_weights_leave_as_they_are_are_refused():
    images = squares().train.in_order().reader.take(np.arange(4))
    with pytest.raises(ValueError, match=r"depend on what its head has learnt.*'single'.*rank correlation of 1\.00"):
        kertl.interpretation.grad_cam(single(), images, [1] * 4)
    maps = kertl.interpretation.grad_cam(single(), images, [1] * 4, check=False)
    against = kertl.interpretation.grad_cam(single(), images, [0] * 4, check=False)
    assert ((maps == 0) | (against == 0)).mean() > 0.7  # what speaks for one class does not speak for the other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((32, 32, 3), "uint8")}, r"`images` must be pictures of shape \(n, 32, 32, 3\)"),
        ({"outputs": [3]}, "`outputs` must be a number from 0 to 2 for each of 1 images"),
        ({"outputs": [0, 1]}, "`outputs` must be a number from 0 to 2"),
    ],
)
def test_wrong_arguments_are_named(trained, change, message):
    with pytest.raises(ValueError, match=message):
        kertl.interpretation.grad_cam(trained, **{"images": np.zeros((1, 32, 32, 3), "uint8"), **change})


def test_a_model_of_vectors_alone_has_nothing_to_show():
    inputs = keras.Input((32, 32, 3))
    flat = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(flat))
    with pytest.raises(ValueError, match="must have feature maps or tokens"):
        kertl.interpretation.grad_cam(model, np.zeros((1, 32, 32, 3), "uint8"))
