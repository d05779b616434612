import keras
import numpy as np
import pytest

import kertl
from kertl.interpretation import NothingToShowError, attention_rollout, where_it_looks
from tests.backbones.kinds import hub
from tests.messages import assert_names
from tests.runs import COLOURS, NAMES, python, squares, tiny


def transformer(blocks=2, side=32, normed=True, **kernels):
    """Patches of four pixels that attend to each other, made by hand."""
    x = inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(x)
    x = keras.layers.Reshape(((side // 4) ** 2, 16))(keras.layers.Conv2D(16, 4, strides=4)(x))
    for number in range(blocks):
        y = keras.layers.LayerNormalization()(x) if normed else x
        attention = keras.layers.MultiHeadAttention(2, 8, name=f"attention{number}", **kernels)
        x = keras.layers.Add(name=f"block{number}")([x, attention(y, y)])
        y = keras.layers.Dense(16)(keras.layers.Dense(32, "gelu")(keras.layers.LayerNormalization()(x)))
        x = keras.layers.Add()([x, y])
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(x), name="by_hand")


def of_keras_hub():
    config = {"patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    backbone = hub("ViT", image_shape=(32, 32, 3), **config)
    backbone = kertl.load_backbone(backbone, preprocessing="tf", input_shape=(32, 32, 3))
    return kertl.build(backbone, class_names=NAMES, head=kertl.Head(pooling="token", dropout=None))


def taught(make):
    """A model that tells coloured squares apart, some of the images, and their labels."""
    keras.utils.set_random_seed(0)
    model, part = make(), squares(per_class=60).train.in_order()
    images, labels = part.reader.take(np.arange(part.num_examples)), np.asarray(part.labels)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(images, labels, epochs=25, batch_size=16, verbose=0).history
    assert history["accuracy"][-1] > 0.95
    return model, images[:20], labels[:20]


@pytest.fixture(scope="module")
def by_hand():
    return taught(transformer)


@pytest.fixture(scope="module")
def by_hub():
    return taught(of_keras_hub)


def attention_of(layer, tokens):
    """Softmax of products of queries and keys, shape (tokens, tokens), the mean over heads, written again plainly."""
    query, query_bias, key, key_bias = layer.get_weights()[:4]
    q = np.einsum("td,dhk->htk", tokens, query) + query_bias[:, None]
    k = np.einsum("td,dhk->htk", tokens, key) + key_bias[:, None]
    scores = np.einsum("htk,hsk->hts", q, k) / np.sqrt(8)
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (raised / raised.sum(axis=-1, keepdims=True)).mean(axis=0)


def test_it_is_the_product_of_the_attention_of_all_blocks(by_hand):
    model, images, _ = by_hand
    flow = np.eye(64)
    for number in range(2):
        layer = model.get_layer(f"attention{number}")
        given = keras.Model(model.input, layer.input[0] if isinstance(layer.input, list) else layer.input)
        attention = attention_of(layer, given.predict(images[:1], verbose=0)[0])
        flow = (attention / 2 + np.eye(64) / 2) @ flow
    expected = flow.mean(axis=0).reshape(8, 8)
    (found,) = attention_rollout(model, images[:1], check=False)
    assert found.shape == (32, 32)
    assert found.max() == 1
    assert found.min() == 0
    patches = found.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert np.corrcoef(patches.ravel(), expected.ravel())[0, 1] > 0.98


def test_a_trained_transformer_of_keras_hub_looks_at_the_square(by_hub):
    model, images, labels = by_hub
    before = model.get_weights()
    maps, told = where_it_looks(model, images)
    assert "attends" in told
    shares = [
        places[(image == list(COLOURS.values())[label]).all(axis=-1)].mean() / places.mean()
        for image, label, places in zip(images, labels, maps, strict=True)
    ]
    assert np.mean(shares) > 1.2
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    said = model.predict(images, verbose=0)  # the layers attend as before
    assert (said.argmax(axis=1) == labels).mean() > 0.9


def test_maps_that_survive_random_weights_are_refused():
    kept = transformer(blocks=1, normed=False, kernel_initializer=keras.initializers.Constant(0.1))
    images = squares().train.in_order().reader.take(np.arange(4))
    with pytest.raises(NothingToShowError, match=r"attend as it has learnt.*'by_hand'.*rank correlation of 1\.00"):
        attention_rollout(kept, images)
    assert attention_rollout(kept, images, check=False).max() == 1


def test_attention_that_is_the_same_everywhere_is_refused():
    images = squares().train.in_order().reader.take(np.arange(4))
    with pytest.raises(NothingToShowError, match="look at some places more than at others"):
        attention_rollout(transformer(blocks=1, kernel_initializer="zeros"), images, check=False)


def test_other_models_are_refused_by_name_and_have_grad_cam_instead():
    model = tiny(dropout=None)
    data = squares()
    kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[kertl.Stage("deep", solver="exact")]), verbose=0)
    images = data.train.in_order().reader.take(np.arange(4))
    with pytest.raises(NothingToShowError) as error:
        attention_rollout(model, images)
    assert_names(error.value, "keras.layers.MultiHeadAttention", "grad_cam")
    maps, told = where_it_looks(model, images)
    assert np.array_equal(maps, kertl.interpretation.grad_cam(model, images))
    assert "speak for the prediction" in told
    with pytest.raises(ValueError, match=r"`images` must be pictures of shape \(n, 32, 32, 3\)"):
        attention_rollout(transformer(), images[0])


def test_interpret_says_what_its_maps_show(by_hub):
    found = kertl.interpret(by_hub[0], squares(per_class=60), most=3)
    assert found.maps.shape == (3, 32, 32)
    assert_names(found.maps_show, "attends")


@pytest.mark.slow
def test_on_jax_it_is_the_same_product():
    python(
        """
        from tests.interpretation import test_rollout as tests
        tests.test_it_is_the_product_of_the_attention_of_all_blocks(tests.taught(tests.transformer))
        """,
        KERAS_BACKEND="jax",
    )
