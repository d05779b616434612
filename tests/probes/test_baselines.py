import json

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.probes import _baselines, _depths
from tests.families import application, lively, small_backbone, small_classifier
from tests.messages import assert_names
from tests.runs import same, squares, weights


@pytest.fixture(scope="module")
def data():
    """Pictures of which three in ten have the label of another class, so that no classifier is right about all."""
    found = squares(per_class=48, seed=3)
    random = np.random.default_rng(1)
    for part in (found.train, found.validation, found.test):
        wrong = random.random(len(part.labels)) < 0.3
        part.labels = np.where(wrong, (part.labels + 1) % 3, part.labels)
    return found


@pytest.fixture(scope="module")
def backbone(data):
    keras.utils.set_random_seed(0)
    return lively(small_backbone(), data.train.batch(0, 0)[0].astype("float32"))


@pytest.fixture(scope="module")
def found(backbone, data):
    return kertl.baselines(backbone, data)


def pooled(model, group, images):
    """The mean over the picture of what the model makes behind a group, by a model of its own."""
    names = [one.name for one in kertl.layer_groups(model)]
    behind = names.index(group) + 1
    at = names[behind] if behind < len(names) else "deep"
    prefix, _ = kertl.split(model, at)
    made = prefix.predict(images, verbose=0)
    return made.mean(axis=(1, 2)) if made.ndim == 4 else made


def test_there_is_a_row_for_each_method_at_each_main_boundary_and_at_the_last_joined(found, data):
    methods = ["nearest mean", "nearest neighbours", "ridge", "logistic regression"]
    places = [("block1", "block2", 8), ("block3", "block4", 16), ("block4", "deep", 24)]
    places += [("block3 + block4", "deep", 40), ("block1 + block3 + block4", "deep", 48)]
    expected = [(*place, method) for place in places for method in methods]
    assert [(row.boundary, row.at, row.features, row.method) for row in found.rows] == expected
    assert found.images == {"train": 72, "validation": 36, "test": 36}
    counts = np.bincount(data.train.labels)
    assert found.majority == pytest.approx(np.mean(data.validation.labels == counts.argmax()))
    assert len({row.validation_accuracy for row in found.rows}) > 3
    assert list(found.by_depth()) == ["block2", "block4", "deep"]


@pytest.mark.parametrize("model", [small_backbone, small_classifier], ids=["backbone", "classifier"])
def test_vectors_of_all_depths_are_what_the_model_makes_at_each(model, data):
    keras.utils.set_random_seed(0)
    images = data.train.in_order().batch(0, 0)[0].astype("float32")
    built = lively(model(), images)
    depths = _depths.Depths(built, ["block1", "block3"])
    vectors = depths.vectors(data.train, None)
    assert [(depth.boundary, depth.at) for depth in depths.depths] == [("block1", "block2"), ("block3", "block4")]
    for depth in depths.depths:
        expected = pooled(built, depth.boundary, images)
        assert expected.std() > 0
        np.testing.assert_allclose(vectors[: len(images), depth.columns], expected, atol=1e-5)


@pytest.mark.promise
@pytest.mark.slow
def test_two_tensors_that_cross_are_both_taken(data):
    nasnet = application("NASNetMobile", 64)
    name = next(group.name for group in kertl.layer_groups(nasnet) if isinstance(group.output_shape[0], tuple))
    shapes = next(group.output_shape for group in kertl.layer_groups(nasnet) if group.name == name)
    (depth,) = _depths.Depths(nasnet, [name]).depths
    assert depth.columns == slice(0, shapes[0][-1] + shapes[1][-1])


def test_images_go_through_the_backbone_once(backbone, data, monkeypatch):
    asked = []
    extract = _depths.extract
    monkeypatch.setattr(_depths, "extract", lambda *a, **k: asked.append(a[1]) or extract(*a, **k))
    kertl.baselines(backbone, data)
    assert asked == [data.train, data.validation, data.test]


def test_accuracies_are_those_of_a_probe_fitted_by_hand(found, backbone, data):
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors, labels = {}, {}
    for part in ("train", "validation"):
        dataset = getattr(data, part).in_order()
        images = np.concatenate([dataset.batch(0, index)[0] for index in range(len(dataset))])
        vectors[part], labels[part] = pooled(backbone, "block1", images), dataset.labels
    for method in ("ridge", "logistic regression"):
        row = next(row for row in found.rows if (row.boundary, row.method) == ("block1", method))
        penalty = float(row.setting.removeprefix("strength=")) * 72
        kinds = {"ridge": RidgeClassifier(penalty), "logistic regression": LogisticRegression(C=1 / penalty)}
        by_hand = make_pipeline(StandardScaler(), kinds[method]).fit(vectors["train"], labels["train"])
        assert by_hand.score(vectors["validation"], labels["validation"]) == pytest.approx(row.validation_accuracy)


def test_probes_see_features_standardised_by_the_training_part():
    random = np.random.default_rng(0)
    scales = np.array([0.001, 1.0, 1000.0])
    vectors = {part: (random.normal(size=(50, 3)) + 5) * scales for part in ("train", "validation")}
    depth = _depths.Depth("block1", "block2", slice(0, 3))
    trial = _baselines._Trial([depth], vectors, {}, 2)
    mean, spread = vectors["train"].mean(axis=0), vectors["train"].std(axis=0)
    for part, rows in vectors.items():
        np.testing.assert_allclose(trial._vectors[part], (rows - mean) / spread, atol=1e-4)


def test_best_is_chosen_on_the_validation_part_and_alone_is_asked_about_the_test_part(data, backbone, monkeypatch):
    asked = []
    accuracies = _baselines._Trial._accuracies
    record = lambda trial, method, part: asked.append((method, part)) or accuracies(trial, method, part)  # noqa: E731
    monkeypatch.setattr(_baselines._Trial, "_accuracies", record)
    found = kertl.baselines(backbone, data)
    highest = max(row.validation_accuracy for row in found.rows)
    assert found.best.validation_accuracy == highest
    assert found.best.features == min(row.features for row in found.rows if row.validation_accuracy == highest)
    assert [method for method, part in asked if part == "test"] == [found.best.method]
    assert 0 <= found.test_accuracy <= 1


def test_test_accuracy_does_not_depend_on_which_labels_the_choice_saw(data, backbone):
    """Wrong labels in the test part change what is reported of it, and nothing that is chosen."""
    first = kertl.baselines(backbone, data)
    labels = data.test.labels
    try:
        data.test.labels = (labels + 1) % 3
        second = kertl.baselines(backbone, data)
    finally:
        data.test.labels = labels
    chosen = [(row.boundary, row.method, row.setting, row.validation_accuracy) for row in first.rows]
    assert [(row.boundary, row.method, row.setting, row.validation_accuracy) for row in second.rows] == chosen
    assert first.test_accuracy + second.test_accuracy <= 1


def test_without_a_test_part_there_is_no_test_accuracy(backbone):
    found = kertl.baselines(backbone, squares(test=0), boundaries=["block2"])
    assert found.test_accuracy is None
    assert [row.boundary for row in found.rows] == ["block2"] * 4


def test_model_is_given_back_as_it_was(backbone, data):
    before, flags = weights(backbone), [layer.trainable for layer in backbone.layers]
    kertl.baselines(backbone, data, boundaries=["block4"])
    assert all(same(before, weights(backbone)).values())
    assert [layer.trainable for layer in backbone.layers] == flags


def test_many_training_images_are_thinned_out_by_the_seed(backbone, data, monkeypatch):
    monkeypatch.setattr(_baselines, "MOST_IMAGES", 12)
    seen = []
    trial = _baselines._Trial.__init__

    def record(self, depths, vectors, labels, classes):
        seen.append((len(vectors["train"]), labels["train"].tolist()))
        trial(self, depths, vectors, labels, classes)

    monkeypatch.setattr(_baselines._Trial, "__init__", record)
    for seed in (1, 1, 2):
        kertl.baselines(backbone, data, boundaries=["block4"], seed=seed)
    assert [count for count, _ in seen] == [12, 12, 12]
    rows = np.sort(np.random.default_rng(1).permutation(72)[:12])
    assert seen[0] == seen[1] == (12, data.train.labels[rows].tolist())
    assert seen[2] != seen[1]


def test_table_json_and_picture_tell_the_same(found, tmp_path):
    table = found.table()
    for row in found.rows:
        begins = row.boundary[:14].strip()  # a long name goes on in the next line
        assert any(begins in line and f"{row.validation_accuracy:.4f}" in line for line in table.splitlines())
    best = f"* Best: {found.best.method} ({found.best.setting}) after {found.best.boundary}"
    assert best.replace(" ()", "") in table
    values = json.loads(found.to_json())
    assert values["rows"][3]["validation_accuracy"] == found.rows[3].validation_accuracy
    assert values["best"]["boundary"] == found.best.boundary
    found.plot(tmp_path / "depths.png")
    with Image.open(tmp_path / "depths.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(10**6)) > 20


def test_standard_error_is_that_of_a_share_and_never_zero(found):
    count = found.images["validation"]
    right = round(found.best.validation_accuracy * count)
    share = (right + 2) / (count + 4)
    assert found.standard_error == pytest.approx((share * (1 - share) / (count + 4)) ** 0.5)
    assert found.standard_error > 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            {"boundaries": ["block9"]},
            ("`boundaries`", "'stem_conv', 'block1', 'block2', 'block3', 'block4'", "boundaries=['block9']"),
        ),
        ({"seed": -1}, ("`seed`", ">= 0", "seed=-1")),
        (
            {"data": squares(per_class=4, validation=0)},
            ("`data`", "validation set", "data.validation=None", "`validation=0.15`"),
        ),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, named, backbone, data):
    arguments = {"data": data, **arguments}
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.baselines(backbone, **arguments)
    assert_names(caught.value, *named)


def test_tasks_with_other_than_one_class_per_image_are_refused(backbone):
    pictures = np.zeros((12, 32, 32, 3), "uint8")
    pictures[:] = np.arange(12)[:, None, None, None]
    targets = kertl.data.from_arrays(pictures, np.arange(12.0), task="regression", validation=0.25, test=0)
    with pytest.raises(ValueError, match=r"`data` must be .*'single_label' or 'binary'.* data='regression'"):
        kertl.baselines(backbone, targets)
