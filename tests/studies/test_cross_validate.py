import dataclasses
import json
import random
from collections import Counter

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.data import ImageDataset
from kertl.features import training_batches
from kertl.studies import CrossValidation, Fold
from kertl.training import _material, _pool
from tests.families import lively, small_backbone, small_classifier
from tests.messages import assert_names
from tests.runs import classifier, same, squares, weights

STAGE = kertl.Stage("deep", epochs=3, learning_rate=0.02, augment="none", label_smoothing=0.05)


@pytest.fixture(scope="module")
def data():
    return squares(per_class=20, batch_size=8, seed=3)


@pytest.fixture(scope="module")
def backbone(data):
    keras.utils.set_random_seed(0)
    return lively(small_backbone(), data.train.batch(0, 0)[0].astype("float32"))


@pytest.fixture(scope="module")
def found(backbone, data):
    return kertl.cross_validate(backbone, data, folds=3, recipe=STAGE, seed=4)


def pictures(data):
    """The images of the training and then the validation part, read plainly."""
    parts = [part.in_order() for part in (data.train, data.validation)]
    return np.concatenate([part.batch(0, index)[0] for part in parts for index in range(len(part))])


class InOrder(keras.utils.PyDataset):
    """Features in the order that the documentation promises."""

    def __init__(self, features, labels, seed):
        super().__init__()
        self.features, self.labels, self.seed, self.epoch = features, labels, seed, 0

    def __len__(self):
        return (len(self.labels) + 7) // 8

    def __getitem__(self, index):
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.labels))
        rows = order[8 * index : 8 * index + 8]
        return self.features[rows], self.labels[rows]


def trained_by_hand(suffix, features, labels, stage, seed):
    """What one training is, with nothing but Keras' `fit`, batch by batch."""
    batches = InOrder(features, labels, seed)
    steps = len(batches) * stage.epochs
    optimizer = keras.optimizers.AdamW(
        kertl.schedules.OneCycle(stage.learning_rate, steps), weight_decay=stage.weight_decay
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in suffix.trainable_variables if len(v.shape) < 2])
    loss = kertl.tasks.SmoothedCrossentropy(stage.label_smoothing)
    suffix.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    dropouts = [layer for layer in suffix.layers if isinstance(layer, keras.layers.Dropout)]

    def begin(epoch, logs):
        batches.epoch = epoch
        for place, layer in enumerate(dropouts):
            (drawn,) = np.random.default_rng((seed, epoch, place)).integers(2**31, size=1)
            layer.seed_generator.state.assign(np.array([drawn, 0]))

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    best = keras.callbacks.EarlyStopping("loss", patience=99, restore_best_weights=True)
    suffix.fit(batches, epochs=stage.epochs, shuffle=False, verbose=0, callbacks=[callback, best])
    return suffix


@pytest.mark.promise
@pytest.mark.slow
def test_a_fold_is_what_plain_keras_makes_of_the_same_features(found, backbone, data):
    features = backbone.predict(pictures(data), verbose=0).mean(axis=(1, 2))
    for fold in (0, 2):
        given = found.fold_of != fold
        keras.utils.set_random_seed(4 + fold)
        entries = keras.Input(features.shape[1:])
        dropped = keras.layers.Dropout(0.3)(entries)
        suffix = keras.Model(entries, keras.layers.Dense(3, activation="softmax")(dropped))
        trained_by_hand(suffix, features[given], found.labels[given], STAGE, seed=4 + fold)
        expected = suffix.predict(features[~given], verbose=0)
        np.testing.assert_allclose(found.predictions[~given], expected, atol=2e-4)
        right = expected.argmax(axis=1) == found.labels[~given]
        assert found.folds[fold].accuracy == pytest.approx(right.mean())


@pytest.mark.promise
@pytest.mark.slow
def test_behind_a_block_the_backbones_weights_begin_as_pretrained_and_batch_norm_stays(backbone, data):
    stage = kertl.Stage("block4", epochs=2, learning_rate=0.01, augment="none", label_smoothing=0.05)
    found = kertl.cross_validate(backbone, data, folds=2, recipe=stage, seed=4)
    prefix, rest = kertl.split(backbone, "block4")
    maps = prefix.predict(pictures(data), verbose=0)
    fold, given = 1, found.fold_of != 1
    copied = keras.models.clone_model(rest)
    copied.set_weights(rest.get_weights())
    for layer in copied.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    keras.utils.set_random_seed(4 + fold)
    dropped = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(copied.output))
    suffix = keras.Model(copied.input, keras.layers.Dense(3, activation="softmax")(dropped))
    trained_by_hand(suffix, maps[given], found.labels[given], stage, seed=4 + fold)
    np.testing.assert_allclose(found.predictions[~given], suffix.predict(maps[~given], verbose=0), atol=1e-3)


def test_every_image_is_judged_once_by_a_training_that_was_not_given_it(found, data):
    assert found.files == (*data.train.files, *data.validation.files)
    assert found.labels.tolist() == [*data.train.labels, *data.validation.labels]
    assert Counter(found.fold_of) == {0: 15, 1: 15, 2: 15}
    assert [(fold.trained_on, fold.judged_on) for fold in found.folds] == [(30, 15)] * 3
    assert not set(found.files) & set(data.test.files)
    np.testing.assert_allclose(found.predictions.sum(axis=1), 1, atol=1e-5)


def test_rows_that_train_a_fold_are_those_that_do_not_judge_it(backbone, data, monkeypatch):
    given = []
    monkeypatch.setattr(_material, "training_batches", lambda *a: given.append(a[3]) or training_batches(*a))
    found = kertl.cross_validate(backbone, data, folds=3, recipe=STAGE, seed=4)
    assert len(given) == 3
    for fold, rows in enumerate(given):
        assert set(rows) | set(np.flatnonzero(found.fold_of == fold)) == set(range(45))
        assert not set(rows) & set(np.flatnonzero(found.fold_of == fold))


def test_features_are_extracted_once_and_images_of_the_test_part_never_read(backbone, data, monkeypatch):
    calls, read = [], set()
    batch = ImageDataset.batch
    monkeypatch.setattr(_pool, "extract", lambda *a, **k: calls.append(a[1].files) or kertl.extract(*a, **k))
    monkeypatch.setattr(ImageDataset, "batch", lambda self, *a: read.update(self.files) or batch(self, *a))
    kertl.cross_validate(backbone, data, folds=3, recipe=STAGE)
    assert calls == [[*data.train.files, *data.validation.files]]
    assert not read & set(data.test.files)


def test_groups_and_equal_images_stay_in_one_fold(tmp_path, backbone):
    noise = np.random.default_rng(0)
    lines = ["file,label,patient"]
    for number in range(48):
        pixels = noise.integers(0, 255, (32, 32, 3), dtype="uint8")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number // 3 % 2]},p{number // 3 if number < 36 else ''}")
    Image.open(tmp_path / "0.png").save(tmp_path / "twin.png")
    lines.append("twin.png,a,")
    (tmp_path / "labels.csv").write_text("\n".join(line.replace(",p\n", ",\n") for line in lines))
    data = kertl.data.from_csv(
        tmp_path / "labels.csv", image_size=(32, 32), group_column="patient", validation=0.2, test=0.2, seed=1
    )
    found = kertl.cross_validate(backbone, data, folds=2, recipe=STAGE)
    fold_of = {file.rpartition("/")[2]: fold for file, fold in zip(found.files, found.fold_of, strict=True)}
    groups = [[f"{number}.png" for number in range(first, first + 3)] for first in range(0, 36, 3)]
    groups[0].append("twin.png")
    seen = [{fold_of[file] for file in group if file in fold_of} for group in groups]
    assert {len(folds) for folds in seen} <= {0, 1}
    assert sum(bool(folds) for folds in seen) >= 6


@pytest.mark.promise
@pytest.mark.slow
def test_classifier_keeps_its_own_head_newly_drawn_or_takes_another(data):
    model = lively(small_classifier(), pictures(data).astype("float32"))
    before = weights(model)
    own = kertl.cross_validate(model, data, folds=2, recipe=STAGE)
    other = kertl.cross_validate(model, data, folds=2, recipe=STAGE, head=kertl.Head(hidden_units=(4,)))
    assert not np.allclose(own.predictions, other.predictions)
    assert all(same(before, weights(model)).values())
    # Drawn anew: what the classifier has learnt to say makes no difference.
    model.get_layer("predictions").set_weights([np.zeros((8, 3)), np.array([9.0, 0.0, 0.0])])
    again = kertl.cross_validate(model, data, folds=2, recipe=STAGE)
    np.testing.assert_array_equal(again.predictions, own.predictions)


def test_model_flags_and_random_state_are_given_back_as_they_were(data):
    model = classifier()
    kertl.freeze(model, "mid")
    before, flags = weights(model), [layer.trainable for layer in model._flatten_layers()]
    random.seed(3)
    expected = random.random()
    random.seed(3)
    kertl.cross_validate(model, data, folds=2, recipe=kertl.Stage("block4", epochs=1, augment="none"))
    assert random.random() == expected
    assert all(same(before, weights(model)).values())
    assert [layer.trainable for layer in model._flatten_layers()] == flags


def watched(monkeypatch):
    """The batches of each training, as they are made."""
    seen = []
    make = _material.training_batches
    monkeypatch.setattr(_material, "training_batches", lambda *a: seen.append(make(*a)) or seen[-1])
    return seen


def test_class_weights_are_those_of_the_images_given(backbone, data, monkeypatch):
    seen = watched(monkeypatch)
    stage = kertl.Stage("deep", epochs=1, augment="none", cache=True, class_weights=True)
    found = kertl.cross_validate(backbone, data, folds=4, recipe=stage)
    assert len(seen) == 4
    for batches in seen:
        given = found.labels[batches.rows]
        expected = {label: len(given) / (3 * count) for label, count in Counter(given.tolist()).items()}
        assert batches.weights[batches.rows].tolist() == pytest.approx([expected[label] for label in given])


def test_rare_classes_among_the_images_given_are_drawn_as_often_as_the_others(backbone, data, monkeypatch):
    seen = watched(monkeypatch)
    stage = kertl.Stage("deep", epochs=1, augment="none", cache=True, oversample=True)
    found = kertl.cross_validate(backbone, data, folds=2, recipe=stage)
    assert len(seen) == 2
    for number, batches in enumerate(seen):
        drawn = batches.order(0)
        assert set(drawn) == set(np.flatnonzero(found.fold_of != number))
        counts = np.bincount(found.labels[drawn])
        assert counts.min() == counts.max() == np.bincount(found.labels[found.fold_of != number]).max()


@pytest.mark.promise
@pytest.mark.slow
def test_stages_on_images_and_with_everything_that_a_stage_can_have_are_trained(backbone, data):
    stages = [
        kertl.Stage("deep", epochs=1, views=2, patience_epochs=1),
        kertl.Stage("mid", epochs=1, cache=False, augment="light", ema=0.9, l2_sp=0.1, layer_decay=0.5),
    ]
    found = kertl.cross_validate(backbone, data, folds=2, recipe=kertl.Recipe(stages=stages))
    assert [(row["stage"], row["epoch"]) for row in found.folds[1].history] == [(0, 1), (1, 2)]


def test_two_classes_with_one_output_give_two_probabilities():
    whole = squares(per_class=12)
    images = np.concatenate([whole.train.in_order().batch(0, i)[0] for i in range(len(whole.train))])
    labels = np.asarray(whole.train.labels)
    data = kertl.data.from_arrays(images[labels < 2], labels[labels < 2], task="binary", validation=0, test=0)
    found = kertl.cross_validate(lively(small_backbone(), images.astype("float32")), data, folds=2, recipe=STAGE)
    assert found.predictions.shape == (len(found.files), 2)
    np.testing.assert_allclose(found.predictions.sum(axis=1), 1, atol=1e-6)
    answers = found.predictions.argmax(axis=1)
    assert found.folds[0].accuracy == np.mean((answers == found.labels)[found.fold_of == 0])


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_several_labels_and_targets_are_judged_as_by_evaluate(task, tmp_path):
    random = np.random.default_rng(0)
    lit = random.random((36, 2)) < 0.5
    pictures = (
        random.integers(0, 60, (36, 32, 32, 3)) + 150 * np.stack([lit[:, 0], lit[:, 1], lit[:, 0]], -1)[:, None, None]
    )
    labels = lit if task == "multi_label" else 10.0 + 5 * lit[:, :1] + random.random((36, 1))
    data = kertl.data.from_arrays(pictures.astype("uint8"), labels, task=task, validation=0.25, test=0)
    backbone = lively(small_backbone(), pictures.astype("float32"))
    found = kertl.cross_validate(backbone, data, folds=3, recipe=kertl.Stage("deep", solver="exact"))
    assert found.predictions.shape == labels.shape
    judged = found.fold_of == 1
    plain = kertl.tasks.task_named(task).judge(
        found.labels[judged], found.predictions[judged], data.class_names, np.full(labels.shape[1], 0.5)
    )
    score = {"multi_label": "accuracy", "regression": "mae"}[task]
    assert found.folds[1].metrics[score] == found.scores[1] == plain[score]
    if task == "multi_label":
        assert found.majority == pytest.approx(np.maximum(lit.mean(axis=0), 1 - lit.mean(axis=0)).mean())
        assert found.mean > 0.9 > found.majority
    else:
        assert found.majority == pytest.approx(np.abs(labels - np.median(labels)).mean())
        assert found.mean < 1 < found.majority
    assert f"{found.mean:.4f}" in found.table()
    again = kertl.studies.CrossValidation.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert again.labels.shape == found.labels.shape
    found.plot(tmp_path / "folds.png")
    with Image.open(tmp_path / "folds.png") as picture:
        assert picture.size[0] > 500


def cross_validation(*losses):
    """One whose folds had these validation losses, an entry per epoch."""
    folds = []
    for number, values in enumerate(losses):
        history = tuple({"stage": 0, "at": "deep", "epoch": k + 1, "val_loss": v} for k, v in enumerate(values))
        folds.append(Fold(number, 2, 1, {"accuracy": 0.5}, history))
    names, labels = ("a", "b", "c"), np.arange(3)
    return CrossValidation(tuple(folds), names, labels, labels, np.eye(3), names, 1.0, 1.0, "single_label")


def test_folds_that_ended_too_early_are_told_with_what_to_pass():
    early, done = [1.0, 0.9, 0.7, 0.62, 0.58, 0.55], [1.0, 0.5, 0.4, 0.4, 0.39, 0.385]
    worse = [1.0, 0.5, 0.6, 0.7, 0.8, 0.9]
    found = cross_validation(early, done, early)
    assert "at the end of 6 epochs in 2 of 3 folds" in found.unfinished
    assert "epochs=12" in found.unfinished
    assert found.unfinished in found.table()
    assert json.loads(found.to_json())["unfinished"] == found.unfinished
    for folds in ((early, done, worse), ([], [], [])):
        assert cross_validation(*folds).unfinished is None


def test_folds_without_a_class_are_told():
    found = cross_validation([1.0], [1.0], [1.0])
    assert "fold 1 has no image of 'b', 'c'; fold 2 has no image of 'a', 'c'" in found.absent
    assert found.absent in found.table()
    assert json.loads(found.to_json())["absent"] == found.absent
    all_have_all = dataclasses.replace(found, labels=np.zeros(3, int), class_names=("a",))
    assert all_have_all.absent is None


def test_mean_and_spread_are_those_of_the_folds_and_json_and_table_tell_them(found):
    scores = [fold.accuracy for fold in found.folds]
    mean = sum(scores) / 3
    assert found.mean == pytest.approx(mean)
    assert found.standard_deviation == pytest.approx((sum((score - mean) ** 2 for score in scores) / 2) ** 0.5)
    assert f"Accuracy {mean:.4f}, standard deviation {found.standard_deviation:.4f}" in found.table()
    values = json.loads(found.to_json())
    assert [row["metrics"]["accuracy"] for row in values["folds"]] == scores
    assert [row["file"] for row in values["predictions"]] == list(found.files)
    assert values["predictions"][7]["probabilities"] == pytest.approx(found.predictions[7].tolist(), abs=1e-6)
    likelihood = found.predictions[np.arange(45), found.labels][found.fold_of == 1]
    assert found.folds[1].metrics["crossentropy"] == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"folds": 1}, ("`folds`", ">= 2", "folds=1")),
        ({"seed": -1}, ("`seed`", ">= 0", "seed=-1")),
        (
            {"recipe": kertl.Stage("deep", until_below_validation=True)},
            ("`until_below_validation`", "cross_validate", "until_below_validation=True"),
        ),
        ({"recipe": "deeep"}, ("`recipe`", "'deep'", "'mid'", "'full'", "'gradual'", "recipe='deeep'")),
        ({"data": None}, ("`data`", "`kertl.data.from_directory`", "data=None")),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, named, backbone, data):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.cross_validate(backbone, **{"data": data, **arguments})
    assert_names(caught.value, *named)


def test_a_head_for_other_classes_is_refused(data):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.cross_validate(small_classifier(classes=5), data, recipe=STAGE)
    assert_names(caught.value, "`model`", "3 outputs", "'single_label'", "model='classifier'", "5")
    assert_names(caught.value, "`head=kertl.Head()`")


def test_a_loss_that_is_no_number_is_an_error(backbone, data):
    stage = kertl.Stage("deep", epochs=2, learning_rate=1e30, optimizer="sgd", schedule="constant", augment="none")
    with pytest.raises(kertl.errors.DivergedError, match=r"epoch \d.*`learning_rate`"):
        kertl.cross_validate(backbone, data, folds=2, recipe=stage, head=kertl.Head(hidden_units=(8, 8)))


def test_features_that_are_kept_are_found_again(backbone, data, tmp_path):
    first = kertl.cross_validate(backbone, data, folds=2, recipe=STAGE, cache_dir=tmp_path)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in files) > 45 * 24 * 4
    second = kertl.cross_validate(backbone, data, folds=2, recipe=STAGE, cache_dir=tmp_path)
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == files
