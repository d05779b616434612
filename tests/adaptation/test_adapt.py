import dataclasses

import keras
import numpy as np
import pytest

import kertl
from kertl._domains import Classifier
from kertl.adaptation import METHODS, Adaptation, SourceFeatures
from kertl.errors import DataError
from tests.adaptation.domains import as_data, dimmed, pictures, source
from tests.families import small_backbone
from tests.messages import assert_names
from tests.runs import NAMES, classifier, same, weights

UNLABELLED = [name for name in METHODS if name not in ("auto", "labels", "fine_tune", "none")]


@pytest.fixture(scope="module")
def of_source():
    return source()


@pytest.fixture(scope="module")
def model(of_source):
    """A head that is solved on the source, on a random backbone."""
    found = classifier(dropout=0.0)
    return kertl.fine_tune(found, of_source, recipe=kertl.Stage("deep", solver="exact", augment="none")).model


@pytest.fixture(scope="module")
def target():
    return dimmed()


@pytest.fixture(scope="module")
def known(model, of_source):
    return SourceFeatures.of(model, of_source)


def accuracy(model, data):
    return kertl.evaluate(model, data.train)["accuracy"]


@pytest.fixture(scope="module")
def before(model):
    return weights(model)


@pytest.fixture(scope="module")
def adapted(model, known, target, before):
    return {name: kertl.adapt(model, pictures(target.train), source=known, method=name) for name in UNLABELLED}


@pytest.mark.parametrize("method", UNLABELLED)
def test_a_method_gives_a_plain_model_and_leaves_the_given_one_alone(model, adapted, target, method, tmp_path):
    found = adapted[method]
    assert found.method == method
    assert found.model is not model
    assert found.model.input_shape == model.input_shape
    assert found.model.output_shape == model.output_shape
    assert kertl.model.model_info(found.model).class_names == tuple(NAMES)
    kertl.save(found.model, tmp_path / "adapted.keras")
    again = keras.models.load_model(tmp_path / "adapted.keras")
    x = pictures(target.train)[:8]
    assert again.predict(x, verbose=0) == pytest.approx(found.model.predict(x, verbose=0), abs=1e-6)


def test_no_method_changes_the_weights_of_the_given_model(model, adapted, before):
    assert set(adapted) == set(UNLABELLED)
    assert all(same(before, weights(model)).values())


@pytest.mark.parametrize("method", ["restyle", "align", "pseudo"])
def test_a_change_of_light_is_partly_undone(model, adapted, target, method):
    assert accuracy(model, target) < 0.6
    assert accuracy(adapted[method].model, target) > accuracy(model, target) + 0.1


def test_aligned_model_gives_what_the_head_gives_for_mapped_features(model, known, target, adapted):
    view = Classifier(model)
    x = pictures(target.train)
    rows = view.features(x)
    mapped = kertl.adaptation.aligned(known.rows, rows)(rows)
    plain = view.probabilities(mapped @ view.kernel + view.bias)
    assert adapted["align"].model.predict(x, verbose=0) == pytest.approx(plain, abs=1e-4)


def test_prior_moves_the_bias_by_the_logarithm_of_the_shares(model, known, adapted):
    view, moved = Classifier(model), Classifier(adapted["prior"].model)
    shares = np.array([adapted["prior"].shares[name] for name in NAMES])
    change = np.log(np.maximum(shares, 1e-3)) - np.log(np.bincount(known.labels) / len(known.labels))
    assert np.array_equal(moved.kernel, view.kernel)
    assert moved.bias - view.bias == pytest.approx(change, abs=1e-5)


def test_auto_takes_a_method_that_helps_and_says_why(model, known, target):
    found = kertl.adapt(model, pictures(target.train), source=known)
    assert found.method != "none"
    assert accuracy(found.model, target) > accuracy(model, target) + 0.1
    assert found.reason
    assert found.risk
    assert {one.method for one in found.judged} >= {"none", found.method}
    assert found.method in found.table()


def test_auto_does_nothing_without_a_shift(model, known):
    found = kertl.adapt(model, pictures(source(seed=7).train), source=known)
    assert found.method == "none"
    assert found.model is model
    assert "No shift" in found.reason


def test_auto_does_nothing_where_it_cannot_be_told_whether_the_shift_or_the_target_is_so(model, known):
    others = dimmed(seed=9, per_class=80)
    labels = np.asarray(others.train.labels)
    said = kertl.predict(model, others.train).argmax(axis=1)
    commonest = np.bincount(said).argmax()
    one_sided = np.concatenate([np.flatnonzero(said == commonest), np.flatnonzero(said != commonest)[:5]])
    x = pictures(others.train)[one_sided]
    found = kertl.adapt(model, x, source=known)
    assert (found.method, found.model is model) == ("none", True)
    assert "nothing tells which" in found.reason
    shares = np.maximum(np.bincount(labels[one_sided], minlength=3) / len(one_sided), 0.01)
    shares = dict(zip(NAMES, shares / shares.sum(), strict=True))
    assert kertl.adapt(model, x, source=known, shares=shares).method != "none"


def test_auto_does_nothing_without_the_source(model, target):
    found = kertl.adapt(model, pictures(target.train))
    assert (found.method, found.model is model) == ("none", True)
    assert "Without features of the source" in found.reason


def test_auto_corrects_the_prior_where_only_the_shares_of_classes_differ(model, known):
    others = source(seed=9, per_class=80)
    labels = np.asarray(others.train.labels)
    chosen = np.concatenate(
        [np.flatnonzero(labels == 0)[:5], np.flatnonzero(labels == 1)[:10], np.flatnonzero(labels == 2)]
    )
    found = kertl.adapt(model, pictures(others.train)[chosen], source=known)
    assert found.method == "prior"
    assert found.shares["red"] == pytest.approx(80 / 95, abs=0.1)


def test_source_may_be_images_features_a_file_or_a_run(model, of_source, target, known, tmp_path):
    x = pictures(target.train)
    known.save(tmp_path / "source_features.npz")
    loaded = SourceFeatures.load(tmp_path / "source_features.npz")
    assert np.array_equal(loaded.rows, known.rows)
    heads = [
        Classifier(kertl.adapt(model, x, source=given, method="align").model).kernel
        for given in (of_source, of_source.train, known, loaded, tmp_path)
    ]
    for kernel in heads[1:]:
        assert kernel == pytest.approx(heads[0], abs=1e-5)


def test_result_comes_back_from_json(adapted, tmp_path):
    found = adapted["align"]
    again = Adaptation.from_json(found.to_json(), model=found.model)
    assert again.judged[0].entropy == found.judged[0].entropy
    assert again.shares == found.shares
    found.plot(tmp_path / "adapted.png")
    assert (tmp_path / "adapted.png").stat().st_size > 1000


def test_a_target_of_three_images_is_refused(model, known, target):
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.adapt(model, pictures(target.train)[:3], source=known)
    assert_names(raised, "`target`", "at least 10 images", "Received: 3")


def test_auto_leaves_a_small_target_alone(model, known, target):
    found = kertl.adapt(model, pictures(target.train)[:20], source=known)
    assert found.method == "none"
    assert "20 images are too few" in found.reason


def test_other_channels_are_refused(model, known, target):
    gray = kertl.data.from_arrays(
        pictures(target.train)[..., :1], target.train.labels, channels=1, class_names=NAMES, validation=0, test=0
    )
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.adapt(model, gray, source=known, method="align")
    assert_names(raised, "`target`", "3 channels", "channels=1")


def test_a_source_of_other_classes_is_refused(model, target):
    data = source()
    other = as_data(pictures(data.train), data.train.labels, ["cat", "dog", "cow"])
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.adapt(model, pictures(target.train), source=other, method="align")
    assert_names(raised, "`source`", "['blue', 'green', 'red']", "['cat', 'dog', 'cow']")


def test_features_of_another_model_are_refused(known, target):
    other = classifier(seed=5)
    for layer in other.layers:
        if layer.weights and layer.name != "head":
            layer.set_weights([weight * 1.1 for weight in layer.get_weights()])
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.adapt(other, pictures(target.train), source=known, method="align")
    assert_names(raised, "`source`", "features that this model computed", "`SourceFeatures.of(model, data)`")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda known: {"labels": known.labels[:5]}, ["one label from 0 to 2 for each of its 120 rows", "shape (5,)"]),
        (lambda known: {"labels": known.labels + 1}, ["one label from 0 to 2", "[1, 2, 3]"]),
        (lambda known: {"rows": known.rows * np.nan}, ["finite features", "NaN", "`SourceFeatures.of(model, data)`"]),
        (lambda known: {"rows": known.rows.ravel()}, ["features that this model computed", "an image"]),
        (lambda known: {"rows": known.rows[:3], "labels": known.labels[:3]}, ["at least 10 images", "Received: 3"]),
    ],
)
def test_features_of_the_source_that_cannot_be_are_refused(model, known, target, change, told):
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.adapt(model, pictures(target.train), source=dataclasses.replace(known, **change(known)))
    assert_names(raised, "`source`", *told)


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "source_features.npz", rows=np.zeros(3))
    with pytest.raises(kertl.errors.DataError, match="must hold features that"):
        SourceFeatures.load(tmp_path / "source_features.npz")


@pytest.mark.parametrize("method", ["restyle", "align", "coral", "prior", "ot"])
def test_a_method_that_needs_the_source_says_so(model, target, method):
    with pytest.raises(ValueError, match="Received: source=None") as raised:
        kertl.adapt(model, pictures(target.train), method=method)
    assert_names(raised, "`source`", f"method='{method}'", "`kertl.adaptation.SourceFeatures`")


def test_an_unknown_method_is_refused(model, target):
    with pytest.raises(ValueError, match="Received") as raised:
        kertl.adapt(model, pictures(target.train), method="adabm")
    assert_names(raised, "`method`", "Did you mean 'adabn'")


def test_a_backbone_is_refused(target):
    from tests.families import small_backbone

    with pytest.raises(ValueError, match="must be a classifier for one class of several"):
        kertl.adapt(small_backbone(), pictures(target.train))


def test_labels_are_asked_for_where_there_are_none(model, target):
    with pytest.raises(ValueError, match="has no labels"):
        kertl.adapt(model, pictures(target.train), method="labels")


def test_known_shares_keep_a_target_of_other_shares_from_being_harmed(model, known):
    others = dimmed(seed=9, per_class=80)
    labels = np.asarray(others.train.labels)
    chosen = np.concatenate([np.flatnonzero(labels == k)[:count] for k, count in enumerate((6, 6, 80))])
    x, truth = pictures(others.train)[chosen], labels[chosen]
    shares = dict(zip(NAMES, (6 / 92, 6 / 92, 80 / 92), strict=True))
    found = [kertl.adapt(model, x, source=known, method="restyle", shares=given).model for given in (None, shares)]
    without, told = (np.mean(kertl.predict(one, x).argmax(axis=1) == truth) for one in found)
    assert told > without + 0.1


def test_a_model_at_chance_is_said_to_be_none_to_adapt(of_source, target, known, model):
    def warned(some, features):
        found = kertl.adapt(some, pictures(target.train), source=features, method="align").warnings
        return any("nothing can be expected" in warning for warning in found)

    untrained = classifier(dropout=0.0)
    untrained.layers[-1].set_weights([np.zeros_like(value) for value in untrained.layers[-1].get_weights()])
    assert warned(untrained, SourceFeatures.of(untrained, of_source))
    assert not warned(model, known)


def test_a_good_model_of_two_classes_is_not_said_to_be_at_chance():
    data = source()
    rows = np.flatnonzero(np.asarray(data.train.labels) < 2)
    two = as_data(pictures(data.train)[rows], np.asarray(data.train.labels)[rows], NAMES[:2])
    two = kertl.data.from_arrays(
        pictures(two.train), two.train.labels, class_names=NAMES[:2], task="binary", validation=0, test=0
    )
    keras.utils.set_random_seed(0)
    built = kertl.build(small_backbone(), class_names=NAMES[:2], task="binary", head=kertl.Head(dropout=0.0))
    stage = kertl.Stage("deep", solver="exact", augment="none")
    good = kertl.fine_tune(built, two, recipe=stage, verbose=0).model
    found = kertl.adapt(good, pictures(two.train) // 2, source=two, method="align")
    assert not any("nothing can be expected" in warning for warning in found.warnings)


def test_a_source_that_lacks_a_class_is_not_adapted_by(model):
    whole = source()
    x, labels = pictures(whole.train), np.asarray(whole.train.labels)
    part = as_data(x[labels < 2], labels[labels < 2], NAMES[:2])
    target = pictures(dimmed().train)
    found = kertl.adapt(model, target, source=part)
    assert found.method == "none"
    assert_names(found.reason, "The source has no image of", NAMES[2])
    assert "Train it longer" not in " ".join(found.warnings)
    with pytest.raises(DataError, match="every class of the model"):
        kertl.adapt(model, target, source=part, method="align")


SHARES = ((0.5, 0.5), (1.0,), (0.5, 0.5, 0.5), (1, 0, 0), ("x", "x", "x"), (None, None, None), ([0.5], 0.25, 0.25))


@pytest.mark.parametrize("shares", [[0.5, 0.5], "red=1", *(dict(zip(NAMES, some, strict=False)) for some in SHARES)])
def test_shares_that_are_none_are_refused_before_anything_is_computed(model, shares):
    with pytest.raises(ValueError, match="`shares` must be a share above 0 for each of"):
        kertl.adapt(model, "no such folder", source="nor this", shares=shares)


def test_shares_are_refused_where_they_are_not_asked_for(model):
    shares = dict.fromkeys(NAMES, 1 / len(NAMES))
    for options in ({}, {"method": "fine_tune"}, {"method": "adabn"}):
        with pytest.raises(ValueError, match="`shares` must be left out for method="):
            kertl.adapt(model, dimmed(), source=source(), shares=shares, **options)
