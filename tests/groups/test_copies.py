"""Chains with copied layers, or with another head."""

import keras
import numpy as np
import pytest

import kertl
from kertl.groups import copied, drawing_from, find_chain, with_other_head
from tests.families import lively, small_backbone, small_classifier
from tests.runs import NAMES, squares

PICTURES = squares().train.in_order().batch(0, 0)[0].astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return lively(small_classifier(), PICTURES)


def whole(chain):
    return chain.at_shape(chain.graph.shapes[chain.graph.input], name="whole")


@pytest.mark.parametrize("at", ["deep", "mid", "block2", "full"])
def test_a_copy_predicts_as_the_original_and_trains_apart_from_it(model, at):
    chain = find_chain(model)
    first = chain.first_trained(at)
    other = copied(chain, first)
    expected = model.predict(PICTURES, verbose=0)
    np.testing.assert_allclose(whole(other).predict(PICTURES, verbose=0), expected, rtol=1e-5, atol=1e-7)
    ours, theirs = ({id(v) for group in one.groups[first:] for v in group.variables} for one in (chain, other))
    assert not ours & theirs
    assert all(one is own for one, own in zip(other.groups[:first], chain.groups[:first], strict=True))
    for layer in other.layers(first, len(other.groups)):
        layer.set_weights([np.zeros_like(value) for value in layer.get_weights()])
    np.testing.assert_array_equal(model.predict(PICTURES, verbose=0), expected)


def test_groups_of_a_copy_have_the_names_and_the_sizes_of_the_original(model):
    chain = find_chain(model)
    described = [
        [(group.name, group.parameters, group.output_shape, group.boundary) for group in one.groups]
        for one in (chain, copied(chain, 2))
    ]
    assert described[0] == described[1]


def test_a_head_is_drawn_as_build_draws_it():
    keras.utils.set_random_seed(0)
    backbone = kertl.load_backbone(lively(small_backbone(), PICTURES))
    head = kertl.Head(hidden_units=(8, 4), dropout=0.2)
    with drawing_from(7):
        built = kertl.build(backbone, class_names=NAMES, head=head)
    again = kertl.build(backbone, class_names=NAMES, head=head)
    drawn = whole(copied(find_chain(again), 1, head_seed=7))
    for one, other in zip(built.get_weights(), drawn.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(*pair) for pair in zip(built.get_weights(), again.get_weights(), strict=True))


def test_another_head_stands_on_the_same_backbone(model):
    chain = find_chain(model)
    inputs = keras.Input((24,))
    head = keras.Model(inputs, keras.layers.Dense(5, name="five")(keras.layers.Dropout(0.5)(inputs)), name="head")
    other = with_other_head(chain, head)
    features = chain.piece(0, len(chain.backbone_groups), name="features").predict(PICTURES, verbose=0)
    found = whole(other).predict(PICTURES, verbose=0)
    np.testing.assert_allclose(found, head.predict(features, verbose=0), rtol=1e-5, atol=1e-6)
    assert other.groups[:-1] == chain.groups[:-1]
    assert other.groups[-1].parameters == 24 * 5 + 5
    first = other.first_trained("mid")
    assert other.piece(first, len(other.groups), name="suffix").output_shape == (None, 5)


def test_a_layer_that_cannot_be_made_again_is_named():
    class Own(keras.layers.Layer):
        def __init__(self, width):
            super().__init__(name="own_layer")
            self.dense = keras.layers.Dense(width)

        def call(self, inputs):
            return self.dense(inputs)

    inputs = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(Own(3)(x)))
    with pytest.raises(ValueError, match=r"copied.*own_layer"):
        copied(find_chain(model), 0)
