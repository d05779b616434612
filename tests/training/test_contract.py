"""The same backbone, images, recipe and seed give the same losses, to the last digit, wherever they are trained."""

import dataclasses

import keras_tuner
import pytest

import kertl
from kertl.data import joined
from kertl.groups import drawing_from
from kertl.search import Candidate, TransferHyperModel
from kertl.studies import folds_of
from kertl.training import UNSUPPORTED, Given
from tests.runs import NAMES, squares
from tests.search.spaces import backbone

HEAD = kertl.Head(hidden_units=(8,), dropout=0.2)
ALL_DEPTHS = kertl.Head(depths="auto")
SEED = 3


def stage(at, **options):
    return kertl.Stage(at, **{"epochs": 2, "augment": "none", "learning_rate": 0.01, **options})


CASES = {
    "solved at all depths, then mid": [
        kertl.Stage("deep", solver="exact"),
        stage("mid", cache=True, learning_rate=1e-4, label_smoothing=0.0),
    ],
    "deep, as it comes": [stage("deep", epochs=1), stage("deep", epochs=2, views=4, augment="light")],
    "deep, cached, mixed, weighted": [stage("deep", cache=True, mixup=0.2, class_weights=True, epochs=3)],
    "deep, live, varied, averaged": [stage("deep", cache=False, augment="light", ema=0.9, epochs=3)],
    "deep and mid, cached versions, decaying rates": [
        stage("deep", cache=True, patience_epochs=1, epochs=4),
        stage("mid", cache=True, views=2, augment="light", layer_decay=0.5, learning_rate=0.003),
    ],
    "deep and mid, live, cut and mixed, a rate for each end": [
        stage("deep", cache=False, class_weights="effective"),
        stage("mid", cache=False, cutmix=0.5, mixup=0.2, learning_rate=(1e-4, 3e-3)),
    ],
    "deep, mid and full, cached and live, pulled, oversampled": [
        stage("deep", cache=True, oversample=True),
        stage("mid", cache=True, l2_sp=0.01, ema=0.8, learning_rate=0.003),
        stage("full", l2_sp=0.01, layer_decay=0.7, augment="light", learning_rate=1e-3, batch_norm="train"),
    ],
    "deep and mid, other batches, sizes and precision": [
        stage("deep", batch_size=4, learning_rate="auto"),
        stage("mid", image_size=(64, 64), batch_size=16, learning_rate=0.003, schedule="cosine"),
    ],
    "deep and full, other optimizers and losses, recomputed": [
        stage("deep", optimizer="sgd", weight_decay=0.01, label_smoothing=0.2),
        stage("full", optimizer="lion", loss="focal", learning_rate=1e-4, schedule="step", gradient_checkpointing=True),
    ],
}


@pytest.fixture(scope="module")
def data():
    return squares()


QUICK = ("deep, as it comes", "deep, cached, mixed, weighted")
PARAMETERS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


@pytest.fixture(params=PARAMETERS, scope="module")
def recipe(request):
    return kertl.Recipe(stages=CASES[request.param], seed=SEED)


def head_of(recipe):
    """What the recipe trains: what is solved must be one layer."""
    return ALL_DEPTHS if recipe.stages[0].solver == "exact" else HEAD


def trained(recipe, data, **options):
    """The rows of a run."""
    loaded = backbone()
    with drawing_from(SEED):
        model = kertl.build(loaded, class_names=NAMES, head=head_of(recipe))
    return kertl.fine_tune(model, data, recipe=recipe, verbose=0, **options).rows


def test_every_field_of_a_stage_has_a_case_here_or_is_said_not_to_work_everywhere():
    tried = {
        field.name
        for stages in CASES.values()
        for one in stages
        for field in dataclasses.fields(kertl.Stage)
        if field.default is dataclasses.MISSING or getattr(one, field.name) != field.default
    }
    fields = {field.name for field in dataclasses.fields(kertl.Stage)}
    assert tried | {one.field for one in UNSUPPORTED} == fields


@pytest.mark.promise
def test_a_trial_of_a_search_trains_what_fine_tune_trains(recipe, data):
    rows = trained(recipe, data)
    hypermodel = TransferHyperModel(
        [backbone()], data, space=lambda hp, names: Candidate(names[0], recipe, head_of(recipe)), seed=SEED
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, verbose=0).history
    last = [row for row in rows if row["stage"] == len(recipe.stages) - 1]
    for metric in ("loss", "val_loss"):
        assert history[metric] == [row[metric] for row in last], metric


@pytest.mark.promise
def test_a_fold_trains_what_fine_tune_trains_of_the_same_images(recipe, data, tmp_path):
    varied = any(one.views for one in recipe.stages)
    number = 0 if varied else 1  # versions are drawn once for all folds, from the seed of the first
    # How an image is varied depends on the images beside it, so that versions are the same where they are shared.
    cache = {"cache_dir": tmp_path} if varied else {}
    seed = SEED - number
    images = joined([data.train, data.validation])
    _, fold_of = folds_of(data, 3, seed)
    given = Given.fold(data, images, fold_of, number, SEED).data
    found = kertl.cross_validate(backbone(), data, folds=3, recipe=recipe, head=head_of(recipe), seed=seed, **cache)
    rows = trained(recipe, dataclasses.replace(given, validation=None), **cache)
    assert [row["loss"] for row in found.folds[number].history] == [row["loss"] for row in rows]
