import numpy as np
import pytest

import kertl
from kertl._domains import Classifier
from kertl.adaptation import SourceFeatures
from kertl.errors import DataError
from tests.adaptation.domains import as_data, dimmed, pictures, source
from tests.messages import assert_names
from tests.runs import NAMES, classifier, same, weights


@pytest.fixture(scope="module")
def model():
    found = classifier(dropout=0.0)
    return kertl.fine_tune(found, source(), recipe=kertl.Stage("deep", solver="exact", augment="none")).model


@pytest.fixture(scope="module")
def known(model):
    return SourceFeatures.of(model, source())


@pytest.fixture(scope="module")
def adapted(model, known):
    return kertl.adapt(model, dimmed(), source=known)


def test_labels_give_a_better_model_and_both_accuracies(model, adapted):
    test = dimmed(seed=8)
    by_name = {one.method: one for one in adapted.judged}
    assert set(by_name) == {"none", "target", "align", "replay", "align + replay"}
    before, now = (kertl.evaluate(one, test.train)["accuracy"] for one in (model, adapted.model))
    assert now > before + 0.1
    assert by_name[adapted.method].target_accuracy == max(one.target_accuracy for one in adapted.judged)
    assert all(0 <= one.source_accuracy <= 1 for one in adapted.judged)
    assert "accuracy on source" in adapted.table()


def test_accuracies_have_wilsons_intervals(adapted):
    one = adapted.judged[0]
    n, p, z = adapted.images[0], one.target_accuracy, 1.959964
    reach = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(p + z**2 / (2 * n) + sign * reach) / (1 + z**2 / n) for sign in (-1, 1)]
    assert one.target_interval == pytest.approx(expected, abs=1e-6)
    low, high = one.source_interval
    assert low < one.source_accuracy <= high
    assert f"{p:.3f} ({expected[0]:.3f} to {expected[1]:.3f})" in adapted.table()


@pytest.mark.slow
def test_deeper_layers_train_from_the_boundary_where_the_shift_begins(model):
    target, before = dimmed(), weights(model)
    found = kertl.adapt(model, target, source=source(), method="fine_tune")
    begins = kertl.shift(model, source(), target).begins
    assert f"from {begins!r} on" in found.reason
    first, second = found.judged
    assert (first.method, second.method, found.method) == ("none", "fine_tune", "fine_tune")
    assert second.target_accuracy > first.target_accuracy
    assert second.target_interval[0] < second.target_accuracy < second.target_interval[1]
    assert second.source_accuracy is not None
    assert all(same(before, weights(model)).values())
    assert kertl.evaluate(found.model, dimmed(seed=8).train)["accuracy"] > first.target_accuracy
    assert kertl.model.model_info(found.model).class_names == tuple(NAMES)


def test_deeper_layers_do_not_train_on_three_images_of_a_class(model):
    data = dimmed(per_class=4)
    few = as_data(pictures(data.train)[1:], np.asarray(data.train.labels)[1:])
    with pytest.raises(ValueError, match="another one with fewer than 4 images of a class"):
        kertl.adapt(model, few, method="fine_tune")


def test_replay_forgets_less_than_the_target_alone(adapted):
    by_name = {one.method: one for one in adapted.judged}
    assert by_name["replay"].source_accuracy > by_name["target"].source_accuracy


def test_the_given_model_is_not_changed(model, known):
    before = weights(model)
    kertl.adapt(model, dimmed(), source=known, method="labels")
    assert all(same(before, weights(model)).values())


def test_one_label_of_each_class_is_enough_for_a_model_and_too_few_to_choose_by(model, known):
    data = dimmed()
    labels = np.asarray(data.train.labels)
    chosen = [int(np.flatnonzero(labels == label)[place]) for label in range(3) for place in range(4)][:12]
    few = as_data(
        pictures(data.train)[[chosen[0], *chosen[4:12]] * 2][:10], labels[[chosen[0], *chosen[4:12]] * 2][:10]
    )
    found = kertl.adapt(model, few, source=known)
    assert any("images in the target: accuracies differ by chance" in warning for warning in found.warnings)
    assert found.model is not None


def test_a_head_can_be_extended_by_the_new_classes_of_the_target(model, known):
    data = dimmed()
    labels = np.asarray(data.train.labels)
    x = pictures(data.train).copy()
    x[::4] = np.arange(32)[:, None, None] * 8
    labels = np.where(np.arange(len(labels)) % 4 == 0, 3, labels)
    more = as_data(x, labels, [*NAMES, "ramp"])
    found = kertl.adapt(model, more, source=known, head="extend")
    assert kertl.model.model_info(found.model).class_names == (*NAMES, "ramp")
    assert found.model.output_shape == (None, 4)
    assert kertl.predict(found.model, x[::4]).argmax(axis=1).tolist() == [3] * 30


def test_a_new_head_has_the_classes_of_the_target(model):
    data = dimmed()
    other = as_data(pictures(data.train), np.asarray(data.train.labels) % 2, ["dog", "cat"])
    found = kertl.adapt(model, other, head="new")
    assert kertl.model.model_info(found.model).class_names == ("dog", "cat")
    assert Classifier(found.model).kernel.shape[1] == 2
    assert any("Without `source`" in warning for warning in found.warnings)


def test_other_classes_are_refused_where_the_head_is_kept(model, known):
    data = dimmed()
    other = as_data(pictures(data.train), data.train.labels, ["cat", "dog", "cow"])
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.adapt(model, other, source=known)
    assert_names(raised, "`target`", "['cat', 'dog', 'cow']", "`head='extend'`", "`head='new'`")


def test_a_head_is_not_extended_by_nothing_nor_without_labels(model, known):
    with pytest.raises(ValueError, match="has no new class"):
        kertl.adapt(model, dimmed(), source=known, head="extend")
    with pytest.raises(ValueError, match="`head` must be 'keep' but for method='labels'"):
        kertl.adapt(model, pictures(dimmed().train), source=known, head="new")


def test_of_equally_good_heads_the_one_that_knows_the_source_is_taken(model, known):
    found = dimmed()
    x, labels = pictures(found.train), np.asarray(found.train.labels)
    one = kertl.adapt(model, as_data(x[labels == 0], labels[labels == 0], NAMES[:1]), source=known)
    best = max(judged.target_accuracy for judged in one.judged)
    equal = [judged for judged in one.judged if judged.target_accuracy == best]
    assert len(equal) > 1
    chosen = next(judged for judged in one.judged if judged.method == one.method)
    assert chosen.source_accuracy == max(judged.source_accuracy for judged in equal)
    assert_names(" ".join(one.warnings), "no labelled image", *NAMES[1:])


def test_a_new_head_needs_two_classes(model):
    alone = kertl.data.from_arrays(pictures(source().train)[:12], ["new"] * 12, validation=0, test=0)
    with pytest.raises(DataError, match="at least two classes for head='new'"):
        kertl.adapt(model, alone, method="labels", head="new")
