import keras
import numpy as np
import pytest

import kertl
from kertl.heads import initializer_for, initializer_reason
from kertl.tasks import TASKS
from tests.messages import assert_names

MAPS, TOKENS, VECTORS = (3, 4, 5), (6, 5), (5,)


def model(shape=MAPS, outputs=2, task="single_label", **head):
    inputs = keras.Input(shape)
    return keras.Model(inputs, kertl.model.head_answers(kertl.Head(**head), inputs, outputs, TASKS[task]))


def names(built):
    return [layer.name for layer in built.layers[1:]]


def features(shape=MAPS):
    return np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")


def test_without_hidden_units_the_features_go_through_dropout_to_the_output():
    assert names(model()) == ["average_pooling", "head_dropout", "predictions"]
    assert names(model(batch_norm=False, dropout=0)) == ["average_pooling", "predictions"]


def test_each_hidden_block_is_dense_batch_norm_activation_dropout():
    built = model(hidden_units=(8, 4))
    assert names(built) == [
        "average_pooling",
        *("head_dense_1", "head_batch_norm_1", "head_activation_1", "head_dropout_1"),
        *("head_dense_2", "head_batch_norm_2", "head_activation_2", "head_dropout_2"),
        "predictions",
    ]
    assert [built.get_layer(f"head_dense_{k}").units for k in (1, 2)] == [8, 4]
    assert not built.get_layer("head_dense_1").use_bias
    plain = model(hidden_units=(8,), batch_norm=False, dropout=0)
    assert names(plain) == ["average_pooling", "head_dense_1", "head_activation_1", "predictions"]
    assert plain.get_layer("head_dense_1").use_bias


def test_token_pooling_is_the_first_token_and_for_tokens_only():
    built = model(TOKENS, pooling="token", batch_norm=False, dropout=0)
    pooled = keras.Model(built.input, built.get_layer("predictions").input)
    np.testing.assert_array_equal(pooled(features(TOKENS)), features(TOKENS)[:, 0])
    for shape in (MAPS, VECTORS):
        with pytest.raises(ValueError, match=rf"`pooling` must be .*'token'.*\({str(shape)[1:-1]}\)"):
            model(shape, pooling="token")


@pytest.mark.parametrize("shape", [MAPS, TOKENS])
@pytest.mark.parametrize("pooling", ["avg", "max", "both", "flatten"])
def test_pooling_is_the_mean_the_maximum_both_or_all_values(pooling, shape):
    built = model(shape, pooling=pooling, batch_norm=False, dropout=0)
    pooled = keras.Model(built.input, built.get_layer("predictions").input)
    x = features(shape)
    axes = tuple(range(1, x.ndim - 1))
    expected = {
        "avg": x.mean(axis=axes),
        "max": x.max(axis=axes),
        "both": np.concatenate([x.mean(axis=axes), x.max(axis=axes)], axis=1),
        "flatten": x.reshape(4, -1),
    }[pooling]
    np.testing.assert_allclose(pooled(x), expected, rtol=1e-5, atol=1e-6)


def test_vectors_are_not_pooled():
    assert names(model(VECTORS, pooling="both", batch_norm=False, dropout=0)) == ["predictions"]


@pytest.mark.parametrize(
    ("activation", "initializer"),
    [
        ("relu", "he_normal"),
        ("gelu", "he_normal"),
        ("silu", "he_normal"),
        ("leaky_relu", "he_normal"),
        ("tanh", "glorot_uniform"),
        ("sigmoid", "glorot_uniform"),
        ("selu", "lecun_normal"),
    ],
)
def test_the_initialiser_suits_the_activation(activation, initializer):
    assert initializer_for(activation) == initializer
    chosen = model(hidden_units=(4,), activation=activation).get_layer("head_dense_1").kernel_initializer
    assert type(chosen) is type(keras.initializers.get(initializer))


def test_another_initialiser_may_be_named():
    chosen = model(hidden_units=(4,), initializer="orthogonal").get_layer("head_dense_1").kernel_initializer
    assert type(chosen) is keras.initializers.Orthogonal


def test_batch_norm_has_a_momentum_that_settles_in_a_short_training():
    assert model(hidden_units=(4,)).get_layer("head_batch_norm_1").momentum == 0.9
    assert model(batch_norm_momentum=0.5, hidden_units=(4,)).get_layer("head_batch_norm_1").momentum == 0.5
    built = model(VECTORS, hidden_units=(4,), dropout=0)
    x = 7 + 2 * features(VECTORS)
    for _ in range(50):
        built(x, training=True)
    kernel = keras.ops.convert_to_numpy(built.get_layer("head_dense_1").kernel)
    mean = (x @ kernel).mean(axis=0)
    np.testing.assert_allclose(built.get_layer("head_batch_norm_1").moving_mean, mean, rtol=0.02)


def test_l1_and_l2_penalise_every_kernel_by_their_formula():
    built = model(VECTORS, hidden_units=(3,), l1=0.1, l2=0.01)
    built(features(VECTORS))
    kernels = [keras.ops.convert_to_numpy(built.get_layer(name).kernel) for name in ("head_dense_1", "predictions")]
    expected = sum(0.1 * np.abs(kernel).sum() + 0.01 * (kernel**2).sum() for kernel in kernels)
    assert float(keras.ops.convert_to_numpy(sum(built.losses))) == pytest.approx(float(expected), rel=1e-5)
    assert model(VECTORS, hidden_units=(3,)).losses == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_output_is_float32_under_any_policy(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        built = model(hidden_units=(4,))
    finally:
        keras.config.set_dtype_policy(before)
    assert built.get_layer("head_dense_1").compute_dtype == policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(built(features()).dtype) == "float32"


@pytest.mark.parametrize(
    ("task", "activation"), [("single_label", "softmax"), ("multi_label", "sigmoid"), ("regression", "linear")]
)
def test_the_task_chooses_the_output_activation(task, activation):
    built = model(task=task, outputs=3)
    assert built.output_shape == (None, 3)
    assert built.get_layer("predictions").activation is keras.activations.get(activation)


@pytest.mark.parametrize(
    ("argument", "value", "named"),
    [
        ("hidden_units", (0,), (">= 1", "hidden_units=0")),
        ("hidden_units", (8, 2.5), (">= 1", "hidden_units=2.5")),
        ("dropout", 1, (">= 0", "< 1", "dropout=1")),
        ("dropout", -0.1, (">= 0", "< 1", "dropout=-0.1")),
        ("l1", -1, (">= 0", "l1=-1")),
        ("l2", float("nan"), (">= 0", "l2=nan")),
        ("batch_norm_momentum", 1.0, (">= 0", "< 1", "batch_norm_momentum=1.0")),
        ("pooling", "average", ("'flatten'", "'token'", "pooling='average'", "Did you mean 'avg'")),
        ("batch_norm", "yes", ("True or False", "batch_norm='yes'")),
        ("activation", "rellu", ("activation='rellu'",)),
        ("initializer", "hee", ("initializer='hee'",)),
        ("hidden_units", 256, ("hidden_units=256",)),
    ],
)
def test_a_value_out_of_range_is_refused_when_the_head_is_made(argument, value, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Head(**{argument: value})
    assert_names(caught.value, f"`{argument}`", *named)


def test_an_activation_without_a_rule_is_refused():
    with pytest.raises(ValueError, match=r"`activation` must be .* Received: activation='exponential'"):
        initializer_for("exponential")


@pytest.mark.parametrize("activation", ["relu", "gelu", "selu", "tanh", "linear"])
def test_the_reason_names_the_initialiser_that_is_chosen(activation):
    assert initializer_reason(activation).startswith(f"{initializer_for(activation)}: {activation} ")
    with pytest.raises(ValueError, match="`activation` must be"):
        initializer_reason("rel")


@pytest.mark.parametrize("depths", [5, None, [], [["a"]], ["a", "a"], [1], "all"])
def test_depths_that_are_no_names_are_refused(depths):
    with pytest.raises(ValueError, match="`depths` must be 'last', 'auto', or a list"):
        kertl.Head(depths=depths)


@pytest.mark.parametrize("statistics", [5, [], ["mean", "mean"], ["median"], [["mean"]], "mean"])
def test_statistics_that_do_not_exist_are_refused(statistics):
    with pytest.raises(ValueError, match="`statistics` must be"):
        kertl.Head(depths="auto", statistics=statistics)


def test_what_has_no_effect_on_a_head_is_refused():
    with pytest.raises(ValueError, match="`statistics` must be left out"):
        kertl.Head(statistics=("max",))
    with pytest.raises(ValueError, match="`pooling` must be left out"):
        kertl.Head(depths="auto", pooling="max")


def test_dropout_is_for_hidden_units_and_the_last_depth():
    assert kertl.Head().dropout == kertl.Head(depths="auto", hidden_units=(8,)).dropout == 0.3
    assert kertl.Head(depths="auto").dropout == 0
