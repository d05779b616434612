"""`kertl.callbacks.TensorBoard`: what is written, compared with the same computed plainly."""

import logging

import keras
import numpy as np
import pytest
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

import kertl
from kertl.callbacks import HeldExamples, TensorBoard
from tests.events.written import pictures, read, values_of
from tests.messages import assert_names
from tests.runs import NAMES, python, squares, values

EXAMPLES = np.random.default_rng(0).normal(size=(48, 8)).astype("float32")
CLASSES = np.arange(48) % 3


def dense(*units, activation="relu"):
    layers = [keras.layers.Dense(count, activation, name=f"dense{place}") for place, count in enumerate(units)]
    return keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3, "softmax", name="last")])


def fitted(model, folder, *, optimizer="sgd", epochs=2, examples=(EXAMPLES, CLASSES), more=(), **options):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    board = TensorBoard(folder, **{"validation": examples, "every_steps": 1, "overhead": 1.0, **options})
    settings = {"batch_size": 16, "shuffle": False, "verbose": 0, "validation_data": examples}
    return model.fit(*examples, epochs=epochs, callbacks=[*more, board], **settings)


class Steps(keras.callbacks.Callback):
    """The weights of each group after each step."""

    def __init__(self):
        super().__init__()
        self.after = []

    def on_train_begin(self, logs=None):
        self.on_train_batch_end(0)

    def on_train_batch_end(self, batch, logs=None):
        self.after.append({layer.name: values(layer.trainable_variables) for layer in self.model.layers})


def norm(arrays):
    return np.sqrt(sum(np.square(array.astype("float64")).sum() for array in arrays))


def test_metrics_are_those_of_the_history_in_keras_own_runs_and_tags(tmp_path):
    history = fitted(dense(4), tmp_path, hparams={"units": 4, "kind": "dense", "wide": False}).history
    for run, prefix in (("train", ""), ("validation", "val_")):
        written = read(tmp_path / run)
        for name in ("loss", "accuracy"):
            assert written[f"epoch_{name}"] == [
                (epoch, pytest.approx(value)) for epoch, value in enumerate(history[prefix + name])
            ]
    assert [step for step, _ in read(tmp_path / "train")["epoch_learning_rate"]] == [0, 1]
    (started,) = (one for _, one in values_of(tmp_path) if one.tag == "_hparams_/session_start_info")
    told = parse_session_start_info_plugin_data(started.metadata.plugin_data.content).hparams
    assert {name: one.WhichOneof("kind") for name, one in told.items()} == {
        "units": "number_value",
        "kind": "string_value",
        "wide": "bool_value",
    }
    assert "_hparams_/session_end_info" in read(tmp_path)


def test_weights_and_their_changes_are_those_of_each_step(tmp_path):
    steps, model = Steps(), dense(4)
    fitted(model, tmp_path, more=[steps], groups=None)
    written = read(tmp_path / "train")
    groups = [group.name for group in kertl.layer_groups(model)]
    layers = {group.name: [layer.name for layer in group.layers] for group in kertl.layer_groups(model)}
    assert len(groups) > 1
    for group in groups:
        own = [[array for name in layers[group] for array in after[name]] for after in steps.after]
        for step, value in written[f"weight_norm/{group}"]:
            assert value == pytest.approx(norm(own[step]), rel=1e-5)
        assert [step for step, _ in written[f"update_ratio/{group}"]] == [2, 3, 4, 5, 6]  # the first step compiles
        for step, value in written[f"update_ratio/{group}"]:
            moved = [after - before for before, after in zip(own[step - 1], own[step], strict=True)]
            assert value == pytest.approx(norm(moved) / norm(own[step - 1]), rel=1e-3)


def test_a_step_of_plain_descent_is_the_rate_times_the_gradient(tmp_path):
    model, x, y = dense(4), EXAMPLES[:16], CLASSES[:16]
    fitted(model, tmp_path, optimizer=keras.optimizers.SGD(0.5), examples=(x, y), epochs=4)
    written = read(tmp_path / "train")
    for tag in [tag for tag in written if tag.startswith("gradient_norm/")]:
        group = tag.split("/")[1]
        weights, ratios = dict(written[f"weight_norm/{group}"]), dict(written[f"update_ratio/{group}"])
        gradients = dict(written[tag])
        for step, ratio in ratios.items():  # the gradient before a step, of the same 16 examples
            assert ratio * weights[step - 1] == pytest.approx(0.5 * gradients[step - 1], rel=1e-3)


def test_measuring_changes_nothing_that_trains(tmp_path):
    def trained(**options):
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(6, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
        model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3, "softmax")])
        history = fitted(model, tmp_path, optimizer="adam", **options).history
        return history, values(model.variables) + values(model.optimizer.variables)

    watched = trained()
    assert any(tag.startswith("gradient_norm/") for tag in read(tmp_path / "train"))
    alone = trained(validation=None, every_steps=1000, overhead=1e-9)
    assert watched[0] == alone[0]
    for one, other in zip(watched[1], alone[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_silent_units_are_the_channels_that_no_example_excites(tmp_path):
    model = dense(10)
    bias = np.where(np.arange(10) < 3, -100.0, 100.0)
    model.get_layer("dense0").bias.assign(bias)
    fitted(model, tmp_path, optimizer=keras.optimizers.SGD(0.0), epochs=1)
    written = {tag: found for tag, found in read(tmp_path / "train").items() if tag.startswith("silent_units/")}
    assert len(written) == 1
    assert [value for found in written.values() for _, value in found] == pytest.approx([0.3] * 2)


@pytest.mark.parametrize(("activation", "start", "word"), [("sigmoid", None, "vanishes"), ("relu", 300.0, "explodes")])
def test_gradients_that_vanish_or_explode_are_told_once_by_group(tmp_path, caplog, activation, start, word):
    model = dense(*[8] * 14, activation=activation)
    if start:
        model.get_layer("last").kernel.assign(start * np.ones((8, 3)) * [1, -1, 1])
        for layer in model.layers[:-1]:
            layer.kernel.assign(1.5 * np.eye(8))
    groups = [kertl.LayerGroup(layer.name, (layer,), (8,), 0, 0, "block") for layer in model.layers]
    with caplog.at_level(logging.WARNING, "kertl"):
        fitted(model, tmp_path, optimizer=keras.optimizers.SGD(1e-9), groups=groups, epochs=3)
    told = [record.getMessage() for record in caplog.records if "gradient" in record.getMessage()]
    assert "dense0" in told[0]
    assert all(word in message for message in told)
    assert len(set(told)) == len(told) < len(groups)
    assert read(tmp_path / "train")["findings"][0][1] == told[0]


def test_a_healthy_training_is_called_neither(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "kertl"):
        fitted(dense(16, 16, 16), tmp_path, optimizer="adam", epochs=3)
    assert not caplog.records


def test_several_steps_in_one_call_are_not_called_one(tmp_path):
    model = dense(4)
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=3)
    board = TensorBoard(tmp_path, overhead=1.0)
    model.fit(EXAMPLES, CLASSES, batch_size=16, epochs=2, callbacks=[board], verbose=0)
    tags = {tag.split("/")[0] for tag in read(tmp_path / "train")}
    assert "change_ratio" in tags
    assert "update_ratio" not in tags


def test_a_subclassed_model_is_measured_by_layer(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(4, name="first"), keras.layers.Dense(3, "softmax", name="then")

        def call(self, x):
            return self.second(self.first(x))

    fitted(Own(), tmp_path, epochs=1)
    tags = read(tmp_path / "train")
    assert {"weight_norm/first", "weight_norm/then", "gradient_norm/first", "update_ratio/then"} <= tags.keys()


def test_rates_by_group_are_those_of_the_optimizer(tmp_path):
    model = dense(4)
    optimizer = kertl.optimizers.discriminative("sgd", model, peak=0.125, layer_decay=0.5)
    fitted(model, tmp_path, optimizer=optimizer, epochs=1)
    written = read(tmp_path / "train")
    for name, multiplier in optimizer.group_multipliers.items():
        assert {value for _, value in written[f"learning_rate/{name}"]} == {0.125 * multiplier}


def test_pictures_show_what_was_predicted_and_what_was_confused(tmp_path):
    data = squares(per_class=16)
    x, y = data.validation.reader.take(np.arange(12)), data.validation.labels
    predictions = np.eye(3)[[*y[:-1], (y[-1] + 1) % 3]] * 0.7 + 0.1
    file = kertl.callbacks._judged.EventFile(tmp_path)
    kertl.callbacks.write_predictions(file, HeldExamples(x, y, class_names=NAMES), predictions, 4)
    file.flush()
    drawn = pictures(tmp_path)
    assert drawn.keys() == {"predictions", "confusion", "roc"}
    for image in drawn.values():
        assert min(image.size) > 100
        assert np.asarray(image).std() > 10
    curve = dict(read(tmp_path)[f"precision_recall/{NAMES[y[-1]]}"])[4]
    hits, alarms, passed, missed, precision, recall = curve[:, 50]  # at 0.5
    assert (hits, alarms, passed, missed) == (np.sum(y == y[-1]) - 1, 0, np.sum(y != y[-1]), 1)
    assert (precision, recall) == pytest.approx((1, hits / (hits + 1)))


@pytest.mark.parametrize(
    ("task", "y", "outputs", "tags"),
    [
        ("binary", np.arange(8)[:, None] % 2.0, 1, {"predictions", "confusion", "roc", "precision_recall/1"}),
        ("multi_label", np.eye(8)[:, :3], 3, {"predictions", "roc"} | {f"precision_recall/{i}" for i in range(3)}),
        ("regression", np.arange(16.0).reshape(8, 2), 2, {"predictions"}),
        ("single_label", np.eye(4)[np.arange(8) % 4], 4, {"predictions", "confusion", "roc"}),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_every_task_has_its_pictures(tmp_path, task, y, outputs, tags, told):
    random = np.random.default_rng(0)
    x, predictions = random.integers(0, 255, (8, 20, 30, 1)), random.uniform(size=(8, outputs))
    if task == "single_label":
        y = y if not told else y.argmax(axis=1)
        tags = tags | {f"precision_recall/{i}" for i in range(4)}
    file = kertl.callbacks._judged.EventFile(tmp_path)
    kertl.callbacks.write_predictions(file, HeldExamples(x, y, task=task if told else None), predictions, 0)
    file.flush()
    assert read(tmp_path).keys() == tags


def test_little_time_is_spent_unless_more_is_allowed(tmp_path):
    fitted(dense(4), tmp_path / "little", overhead=1e-9)
    fitted(dense(4), tmp_path / "all")
    little, everything = read(tmp_path / "little" / "train"), read(tmp_path / "all" / "train")
    assert {tag.split("_")[0] for tag in little} == {"epoch"}
    assert {"epoch", "weight", "gradient", "update"} <= {tag.split("_")[0] for tag in everything}


def test_arguments_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Received") as caught:
        TensorBoard(tmp_path, every_steps=0)
    assert_names(caught.value, "`every_steps`", "every_steps=0", ">= 1")
    with pytest.raises(ValueError, match="Received") as caught:
        TensorBoard(tmp_path, overhead=0)
    assert_names(caught.value, "`overhead`", "overhead=0", "> 0")
    with pytest.raises(ValueError, match="Received") as caught:
        fitted(dense(4), tmp_path, validation=17)
    assert_names(caught.value, "`validation`", "validation=17", "a pair of arrays")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(kertl.errors.RunError, match="cannot be written") as caught:
        fitted(dense(4), tmp_path / "file", epochs=1)
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.promise
@pytest.mark.slow
def test_on_jax_without_tensorflow_the_same_is_written(tmp_path):
    python(
        f"""
        import sys
        class Refused:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "tensorflow":
                    raise ImportError(name)
        sys.meta_path.insert(0, Refused())
        from pathlib import Path
        from tests.callbacks import test_tensorboard as tests
        folder = Path({str(tmp_path)!r})
        tests.test_weights_and_their_changes_are_those_of_each_step(folder / "a")
        tests.test_a_step_of_plain_descent_is_the_rate_times_the_gradient(folder / "b")
        tests.test_silent_units_are_the_channels_that_no_example_excites(folder / "c")
        assert {{"predictions", "confusion", "roc"}} > set(tests.pictures(folder / "a" / "validation"))
        assert "tensorflow" not in sys.modules
        """,
        KERAS_BACKEND="jax",
    )
