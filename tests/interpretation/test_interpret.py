import json

import numpy as np
import pytest
from scipy import stats

import kertl
from tests.families import small_backbone
from tests.runs import NAMES, classifier, recipe, squares


@pytest.fixture(scope="module")
def planted():
    """Squares with one wrong label in the training set and a twin of a training image in the test set."""
    plain = squares(per_class=30)
    parts = {name: getattr(plain, name).in_order() for name in ("train", "validation", "test")}
    pictures = {name: one.reader.take(np.arange(one.num_examples)) for name, one in parts.items()}
    labels = {name: np.array(one.labels) for name, one in parts.items()}
    labels["train"][5] = (labels["train"][5] + 1) % 3
    pictures["test"][2] = np.clip(pictures["train"][9].astype(int) + 1, 0, 255)
    labels["test"][2] = labels["train"][9]
    data = kertl.data.from_dataset(
        (pictures["train"], labels["train"]),
        validation=(pictures["validation"], labels["validation"]),
        test=(pictures["test"], labels["test"]),
        class_names=NAMES,
    )
    model = classifier(depths="auto", dropout=None)
    kertl.fine_tune(model, data, recipe=recipe(kertl.Stage("deep", solver="exact")), verbose=0)
    return model, data, kertl.interpret(model, data)


def test_a_wrong_label_and_a_twin_are_found(planted):
    _, data, found = planted
    assert [(one.file, one.part, one.label) for one in found.doubtful_labels[:1]] == [
        (data.train.files[5], "train", NAMES[data.train.in_order().labels[5]])
    ]
    assert [(one.file, one.training_file, one.same_label) for one in found.alike] == [
        (data.test.files[2], data.train.files[9], True)
    ]
    assert found.alike[0].similarity > 0.99


def test_losses_are_in_order_with_the_nearest_training_images(planted):
    model, data, found = planted
    losses = [one.loss for one in found.top_losses]
    assert losses == sorted(losses, reverse=True)
    said = kertl.predict(model, data)
    labels = data.test.in_order().labels
    true = -np.log(np.clip(said[np.arange(len(said)), labels], 1e-7, 1))
    assert losses[0] == pytest.approx(true.max(), rel=1e-4)
    assert found.top_losses[0].file == data.test.files[true.argmax()]
    assert all(len(one.nearest) == 3 for one in found.top_losses)
    assert found.maps.shape == (len(losses), 32, 32)


def test_metrics_have_intervals_that_hold_them(planted):
    _, _, found = planted
    for name, (low, high) in found.metrics["intervals"].items():
        assert low <= found.metrics[name] <= high, name
    count = found.metrics["images"]
    right = round(found.metrics["accuracy"] * count)
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert found.metrics["intervals"]["accuracy"] == pytest.approx([expected.low, expected.high], abs=1e-6)


def test_confusions_are_counted(planted):
    model, data, found = planted
    said, labels = kertl.predict(model, data).argmax(axis=1), data.test.in_order().labels
    assert sum(one.images for one in found.confusions) == (said != labels).sum()
    for one in found.confusions:
        of_class = labels == NAMES.index(one.truth)
        assert one.images == (said[of_class] == NAMES.index(one.predicted)).sum()
        assert one.share == pytest.approx(one.images / of_class.sum())


def test_two_models_are_compared_image_by_image(planted):
    model, data, _ = planted
    other = classifier(seed=5)
    found = kertl.interpret(model, data, other=other).differences
    one, two = (kertl.predict(each, data).argmax(axis=1) for each in (model, other))
    assert [each.file for each in found] == [data.test.files[row] for row in np.flatnonzero(one != two)]
    assert not kertl.interpret(model, data, other=model).differences
    strange = kertl.build(small_backbone(), class_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="`other` must be a model for the same classes"):
        kertl.interpret(model, data, other=strange)


def test_it_is_json_and_a_table(planted):
    _, _, found = planted
    assert json.loads(found.to_json())["part"] == "test"
    again = type(found).from_json(found.to_json(), maps=found.maps)
    assert again.to_json() == found.to_json()
    for text in ("Test, ", "95 % intervals", "Greatest losses", "Labels that are probably wrong", "Near-duplicates"):
        assert text in str(found)


LABELS = {
    "binary": ["no", "yes"] * 12,
    "multi_label": np.array([[1, 0], [1, 1], [0, 0], [0, 1]] * 6),
    "regression": np.arange(24.0),
}


@pytest.mark.parametrize("task", LABELS)
def test_every_task_is_interpreted(task):
    pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, LABELS[task], task=task, validation=0.25, test=0.25)
    model = kertl.build(small_backbone(), class_names=data.class_names, task=task)
    if task == "binary":  # what reaches the threshold counts, as in the metrics
        kertl.tune_thresholds(model, data)
    found = kertl.interpret(model, data, most=3)
    if task == "binary":
        (_, one), (two, _) = found.metrics["confusion"]
        assert sum(each.images for each in found.confusions) == one + two > 0
    assert len(found.top_losses) == 3
    assert (found.calibration is None) == (task == "regression")
    assert (found.doubtful_labels is None) == (task != "binary")
    assert found.plot() is not None
    assert str(found)


def test_of_too_many_images_no_features_are_extracted(planted):
    model, data, _ = planted
    found = kertl.interpret(model, data, most_searched=50)
    assert found.doubtful_labels is None
    assert found.alike == ()
    assert "`most_searched` of `kertl.interpret`, 50" in found.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "all"}, "`part` must be 'train'"),
        ({"most": 0}, "`most` must be"),
        ({"data": 3}, "`data` must be"),
    ],
)
def test_wrong_arguments_are_named(planted, options, message):
    model, data, _ = planted
    with pytest.raises(ValueError, match=message):
        kertl.interpret(**{"model": model, "data": data, **options})
