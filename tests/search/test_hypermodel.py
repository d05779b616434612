import dataclasses
import gc
import weakref

import keras
import keras_tuner
import numpy as np
import pytest

import kertl
from kertl.features import EpochFitter
from kertl.search import Candidate, TransferHyperModel, default_space
from tests.families import small_classifier
from tests.messages import assert_names
from tests.runs import same, squares, values, weights
from tests.search.spaces import backbone, fixed, heads, stage


def searched(kind, hypermodel, folder, epochs=2, **options):
    tuner = kind(hypermodel, objective="val_accuracy", directory=folder, project_name="search", seed=1, **options)
    tuner.search(epochs=epochs, verbose=0)
    return tuner


@pytest.fixture(scope="module")
def data():
    return squares()


@pytest.mark.promise
@pytest.mark.slow
def test_a_tuner_of_keras_tuner_works_unchanged(data, tmp_path):
    hypermodel = TransferHyperModel([backbone()], data, space=heads)
    tuner = searched(keras_tuner.RandomSearch, hypermodel, tmp_path, max_trials=2)
    found = tuner.oracle.trials.values()
    assert [trial.status for trial in found] == ["COMPLETED"] * 2
    assert all(0 <= trial.score <= 1 for trial in found)
    assert tuner.get_best_models()[0].output_shape == (None, 3)


def test_the_default_space_asks_what_matters_under_its_condition_only(data):
    hp = keras_tuner.HyperParameters()
    default_space(hp, ["one", "other"])
    assert not {"hidden_units", "fine_tuning_rate"} & set(hp.values)
    hp.values.update(boundary="mid", hidden_layers=2)
    hp.ensure_active_values()
    candidate = default_space(hp, ["one", "other"])
    assert [one.at for one in candidate.recipe.stages] == ["deep", "mid"]
    assert len(candidate.head.hidden_units) == 2


@pytest.mark.promise
@pytest.mark.slow
def test_features_are_extracted_once_for_all_trials_and_kinds_of_pooling(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("kertl.training._pool.extract", lambda *a, **o: asked.append(o["at"]) or kertl.extract(*a, **o))

    def space(hp, names):
        head = kertl.Head(pooling=hp.Choice("pooling", ["avg", "max"]), dropout=0.0)
        at = hp.Choice("boundary", ["deep", "mid"])
        return Candidate(names[0], kertl.Recipe(stages=[stage(at)]), head)

    tuner = searched(keras_tuner.GridSearch, TransferHyperModel([backbone()], data, space=space), tmp_path, epochs=1)
    assert len(tuner.oracle.trials) == 4
    assert sorted(asked) == ["deep", "deep", "mid", "mid"]  # a training and a validation part each


@pytest.mark.parametrize(
    ("at", "pooling"),
    [("deep", "avg"), ("deep", "max"), ("deep", "flatten"), ("mid", "max"), ("block1", "both"), ("full", "avg")],
)
def test_a_trial_answers_as_the_whole_model_with_its_head_would(at, pooling, data):
    hypermodel = TransferHyperModel([backbone()], data, space=fixed(stage(at), pooling=pooling))
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    whole = kertl.build(backbone(), class_names=data.class_names, head=kertl.Head(pooling=pooling))
    suffix = model.layers[-1] if at == "full" else model  # a model of images ends in what it trains
    whole.layers[-1].set_weights(suffix.layers[-1].get_weights())
    history = hypermodel.fit(hp, model, epochs=1, verbose=0)
    ours = hypermodel.build(hp)
    assert np.isfinite(history.history["val_loss"][0])
    if at == "full":
        found = ours.predict(data.validation, verbose=0)
    else:
        source = kertl.build(backbone(), class_names=data.class_names, head=kertl.Head(pooling=pooling))
        found = ours.predict(np.asarray(kertl.extract(source, data.validation, at=at).values), verbose=0)
    np.testing.assert_allclose(found, whole.predict(data.validation, verbose=0), atol=1e-5)


def test_a_trial_on_features_goes_as_one_on_the_images_does(data):
    losses = []
    for cache in ("auto", False):
        space = fixed(stage("deep", 0.003, schedule="cosine", cache=cache))
        hypermodel = TransferHyperModel([backbone()], data, space=space)
        hp = keras_tuner.HyperParameters()
        history = hypermodel.fit(hp, hypermodel.build(hp), epochs=3, verbose=0).history
        losses.append(history["loss"] + history["val_loss"])
    np.testing.assert_allclose(*losses, atol=1e-3)


def test_no_trial_changes_the_backbone(data):
    shared = backbone()
    before = weights(shared)
    hypermodel = TransferHyperModel([shared], data, space=fixed(stage("deep"), stage("mid", batch_norm="train")))
    hp = keras_tuner.HyperParameters()
    hypermodel.fit(hp, hypermodel.build(hp), epochs=2, verbose=0)
    assert all(same(before, weights(shared)).values())


@pytest.mark.promise
@pytest.mark.slow
def test_the_head_is_trained_before_the_last_stage(data):
    first_losses = []
    for stages in ([stage("mid", 1e-5)], [stage("deep", 0.03, epochs=8), stage("mid", 1e-5)]):
        hypermodel = TransferHyperModel([backbone()], data, space=fixed(*stages))
        hp = keras_tuner.HyperParameters()
        first_losses.append(hypermodel.fit(hp, hypermodel.build(hp), epochs=1, verbose=0).history["loss"][0])
    assert first_losses[1] < 0.8 * first_losses[0]


def test_versions_and_mixed_examples_are_trained_on(data):
    varied = stage("deep", views=2, augment="light", mixup=0.2, class_weights=True)
    hypermodel = TransferHyperModel([backbone()], data, space=fixed(varied))
    hp = keras_tuner.HyperParameters()
    assert len(hypermodel.fit(hp, hypermodel.build(hp), epochs=3, verbose=0).history["loss"]) == 3


@pytest.mark.promise
@pytest.mark.slow
def test_a_later_round_of_hyperband_begins_with_the_weights_of_the_round_before(data, tmp_path, monkeypatch):
    begins = {}
    fit = TransferHyperModel.fit

    def watched(self, hp, model, **options):
        begins[hp.values["tuner/epochs"], hp.values.get("tuner/trial_id")] = values(model.weights)
        result = fit(self, hp, model, **options)
        assert int(model.optimizer.iterations) == 3 * (hp.values["tuner/epochs"] - hp.values["tuner/initial_epoch"])
        return result

    monkeypatch.setattr(TransferHyperModel, "fit", watched)
    hypermodel = TransferHyperModel([backbone()], data, space=heads)
    tuner = keras_tuner.Hyperband(hypermodel, "val_accuracy", max_epochs=2, factor=2, directory=tmp_path, seed=1)
    tuner.search(verbose=0)
    (earlier,) = {trial for _, trial in begins if trial}
    begun = begins[2, earlier]
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * len(tuner.oracle.trials)
    kept = tuner.load_model(tuner.oracle.get_trial(earlier))
    assert all(np.array_equal(one, other) for one, other in zip(begun, values(kept.weights), strict=True))


@pytest.mark.promise
@pytest.mark.slow
def test_folds_give_the_mean_of_their_figures_and_their_spread(data):
    hypermodel = TransferHyperModel([backbone()], data, space=fixed(stage("deep", 0.03)), folds=3)
    hp = keras_tuner.HyperParameters()
    figures = hypermodel.fit(hp, hypermodel.build(hp), epochs=4, verbose=0)
    head = kertl.Head(dropout=0.0, batch_norm=False)
    plain = dataclasses.replace(stage("deep", 0.03, epochs=4), batch_size=None)
    asked = kertl.cross_validate(backbone(), data, folds=3, recipe=plain, head=head)
    assert figures["val_accuracy"] == pytest.approx(asked.mean, abs=0.15)
    assert 0 <= figures["val_accuracy_spread"] < 0.5


def test_folds_train_on_versions_and_are_judged_by_the_images_themselves(data, monkeypatch):
    seen = []
    fit = EpochFitter.fit
    monkeypatch.setattr(EpochFitter, "fit", lambda self, *a, **o: seen.append(a) or fit(self, *a, **o))
    varied = stage("deep", augment="light", views=2, epochs=3)
    hypermodel = TransferHyperModel([backbone()], data, folds=3, space=fixed(varied))
    hp = keras_tuner.HyperParameters()
    hypermodel.fit(hp, hypermodel.build(hp), epochs=1, verbose=0)
    count = data.train.num_examples + data.validation.num_examples
    assert len(seen) == 3
    for train, judged in seen:
        assert not set(train.rows) & set(judged.rows)
        assert sorted([*train.rows, *judged.rows]) == list(range(count))
        assert (len(train.values), len(judged.values)) == (2 * count, count)
        for epoch in range(3):
            assert sorted(train.order(epoch) - epoch % 2 * count) == sorted(train.rows)
    plain = seen[0][1].values
    assert not any(np.array_equal(plain[row], seen[0][0].values[row]) for row in range(5))


@pytest.mark.slow
def test_models_of_trials_that_are_over_are_let_go(data, tmp_path):
    made = []

    class Watched(TransferHyperModel):
        def build(self, hp):
            model = super().build(hp)
            made.append(weakref.ref(model))
            return model

    searched(keras_tuner.RandomSearch, Watched([backbone()], data, space=heads), tmp_path / "1", max_trials=1)
    before = graphs()
    searched(keras_tuner.RandomSearch, Watched([backbone()], data, space=heads), tmp_path / "3", max_trials=3)
    assert graphs() < before + 3
    assert sum(reference() is not None for reference in made) == 0


def graphs():
    """How many graphs of TensorFlow are alive."""
    gc.collect()
    return sum(type(one).__name__ == "FuncGraph" for one in gc.get_objects())


def built(hypermodel):
    return hypermodel.build(keras_tuner.HyperParameters())


def test_regression_is_searched_in_the_units_of_the_data():
    pictures, _ = squares().train[0]
    data = kertl.data.from_arrays(
        np.tile(pictures, (3, 1, 1, 1)), 1000.0 + np.arange(24), validation=0.25, test=0, task="regression"
    )
    hypermodel = TransferHyperModel([backbone()], data, space=fixed(stage("deep")))
    hp = keras_tuner.HyperParameters()
    history = hypermodel.fit(hp, hypermodel.build(hp), epochs=1, verbose=0).history
    assert history["val_mae"][0] < 30


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda data: TransferHyperModel([], data), ("`backbones`", "at least one")),
        (lambda data: TransferHyperModel("VGG16", data), ("`backbones`", "list", "backbones='VGG16'")),
        (lambda data: TransferHyperModel(["ResNet5"], data), ("source='ResNet5'",)),
        (lambda data: TransferHyperModel(["VGG16"], data, folds=1), ("`folds`", ">= 2", "folds=1")),
        (lambda data: TransferHyperModel(["VGG16"], data.train), ("`data`", "`kertl.data.from_directory`")),
        (
            lambda data: TransferHyperModel(["VGG16"], dataclasses.replace(data, validation=None)),
            ("`folds`", ">= 2", "validation set", "folds=None"),
        ),
        (lambda data: Candidate("VGG16", stage("mid"), kertl.Head()), ("`recipe`", "kertl.Recipe")),
        (
            lambda data: built(
                TransferHyperModel([backbone()], data, folds=2, space=fixed(stage("deep", until_below_validation=True)))
            ),
            ("`until_below_validation`", "folds", "until_below_validation=True"),
        ),
    ],
)
def test_wrong_arguments_are_named(make, named, data):
    with pytest.raises(ValueError, match="must be") as caught:
        make(data)
    assert_names(caught.value, *named)


def test_weights_are_for_names_and_a_model_brings_its_own(data):
    theirs = small_classifier()
    hypermodel = TransferHyperModel([theirs, "MobileNetV3Small"], data, space=heads, weights=None)
    assert hypermodel.backbones == (theirs.name, "MobileNetV3Small")
    assert hypermodel.build(keras_tuner.HyperParameters()).output_shape == (None, data.num_classes)


@pytest.mark.promise
@pytest.mark.slow
def test_a_search_is_ended_by_what_no_trial_can_mend(data, tmp_path):
    hypermodel = TransferHyperModel([backbone()], data, space=heads)
    objective = keras_tuner.Objective("val_accuracy", "maximize")
    tuner = keras_tuner.RandomSearch(hypermodel, objective, max_trials=1, directory=tmp_path, project_name="a")
    with pytest.raises(ValueError, match=r"keras_tuner\.Objective.*'min' or 'max'"):
        tuner.search(epochs=1, verbose=0)
    tuner = keras_tuner.RandomSearch(hypermodel, "val_accuracy", max_trials=1, directory=tmp_path, project_name="b")
    with pytest.raises(ValueError, match=r"`search` must be .*epochs, callbacks and verbose"):
        tuner.search(np.zeros(3), epochs=1, verbose=0)
    with pytest.raises(TypeError, match=r"`space` must .*kertl\.search\.Candidate"):
        keras_tuner.RandomSearch(
            TransferHyperModel([backbone()], data, space=lambda hp, names: names[0]), "val_accuracy", directory=tmp_path
        )


@pytest.mark.promise
@pytest.mark.slow
def test_the_loss_of_a_trial_that_is_no_number_fails_it(data, tmp_path):
    hypermodel = TransferHyperModel([backbone()], data, space=fixed(stage("deep", 1e30, optimizer="sgd")))
    tuner = searched(keras_tuner.RandomSearch, hypermodel, tmp_path, max_trials=1)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "FAILED"
    assert "NaN" in trial.message


@pytest.mark.promise
@pytest.mark.slow
def test_a_tuners_own_optimizer_is_left_to_it(data, tmp_path):
    hypermodel = TransferHyperModel([backbone()], data, space=heads)
    tuner = searched(
        keras_tuner.RandomSearch, hypermodel, tmp_path, max_trials=1, optimizer=keras.optimizers.SGD(0.125)
    )
    assert float(tuner.get_best_models()[0].optimizer.learning_rate) == 0.125
