import math

import numpy as np
import pytest

import kertl
from kertl.diagnosis import HEALTHY, VERDICTS, Curves, Known, Watch, judge
from kertl.studies import LearningCurve, Point, PowerLaw

SETTLED = {
    "loss": [1.5, 0.8, 0.5, 0.36, 0.31, 0.3, 0.295, 0.294],
    "val_loss": [1.3, 0.8, 0.55, 0.42, 0.38, 0.37, 0.365, 0.366],
}
KNOWN = Known(task="single_label", classes=4, validation_images=500)


def verdict(columns, known=KNOWN):
    return judge(Curves(columns), known).verdict


def test_whatever_the_numbers_there_is_a_verdict():
    """Also with gaps, with one epoch, with nothing but NaN, and with stages of one epoch each."""
    random = np.random.default_rng(0)
    for _ in range(400):
        epochs = int(random.integers(1, 9))
        others = random.permutation(["val_loss", "accuracy", "val_accuracy", "learning_rate", "inference_loss"])
        names = ["loss", *others[: random.integers(0, 6)]]
        columns = {name: random.exponential(1, epochs) for name in names}
        for values in columns.values():
            values[random.random(epochs) < random.choice([0, 0.3, 1])] = random.choice([np.nan, 0, np.inf, 1e30])
        columns["stage"] = np.sort(random.integers(0, 3, epochs))
        known = Known(classes=random.choice([None, 2, 9]), validation_images=random.choice([None, 5, 500]))
        with np.errstate(all="ignore"):
            found = judge(Curves(columns), known)
        assert {one.verdict for one in found.findings} <= set(VERDICTS)
        assert type(found).from_json(found.to_json()).table()


def test_curves_that_settle_near_each_other_are_a_good_fit():
    found = judge(Curves(SETTLED), KNOWN)
    assert (found.verdict, found.others) == ("good_fit", ())
    assert found.evidence["skill"] == pytest.approx(1 - 0.295 / math.log(4))


def test_the_first_epoch_whose_loss_is_no_number_is_named():
    found = judge(Curves({**SETTLED, "loss": [*SETTLED["loss"][:6], None, None]}), KNOWN)
    assert found.verdict == "diverged"
    assert "epoch 7" in found.sentence


@pytest.mark.parametrize(
    ("validation", "epoch"),
    [
        ([1, 0.7, 0.5, math.nan, math.nan, math.nan], 4),
        ([1, 0.7, 0.5, None, None, None], 4),
        ([1, 0.7, 0.5, 0.45, 0.4, math.nan], 6),
        ([1, 0.7, 0.5, 0.45, 0.4, math.inf], 6),
        ([1, 0.7, 0.5, 0.45, math.inf, math.nan], 5),
        ([math.nan] * 6, 1),
        ([1, math.nan, 0.5, 0.45, math.nan, math.nan], 5),
    ],
)
def test_a_validation_loss_that_becomes_no_number_has_diverged(validation, epoch):
    found = judge(Curves({"loss": [1, 0.6, 0.4, 0.3, 0.2, 0.1], "val_loss": validation}), Known())
    assert found.verdict == "diverged"
    assert f"validation loss became NaN or infinite in epoch {epoch}," in found.sentence


def test_epochs_without_a_validation_are_no_divergence():
    gaps = [None, 1.1, None, 0.6, None, 0.45, None, 0.4, None]
    training = [1.5, 0.8, 0.6, 0.5, 0.42, 0.38, 0.36, 0.35, 0.35]
    for validation in (gaps, [math.nan if one is None else one for one in gaps]):
        assert verdict({"loss": training, "val_loss": validation}) != "diverged"
    rows = [{"loss": one} | ({"val_loss": 1 / (k + 1)} if k < 2 else {}) for k, one in enumerate(training)]
    found = judge(Curves.of_rows(rows), KNOWN)
    assert found.verdict != "diverged"
    assert "validation after epoch 2, the last that has a validation loss" in found.unknown
    assert "nan" not in found.table()
    rows[-1]["val_loss"] = math.nan
    assert "in epoch 9," in judge(Curves.of_rows(rows), KNOWN).sentence


def test_a_last_stage_whose_validation_is_lost_has_diverged_and_one_epoch_is_too_few():
    columns = {"loss": [0.5, 0.4, 0.3, 0.2], "val_loss": [0.5, 0.45, math.inf, math.inf], "stage": [0, 0, 1, 1]}
    assert "in epoch 3," in judge(Curves(columns), Known()).sentence
    assert judge(Curves({"loss": [1.0], "val_loss": [1.0]}), Known()).sentence == "1 epoch is too few to tell."


def test_a_small_validation_set_comes_before_what_rests_on_it():
    assert verdict(SETTLED, Known(validation_images=12)) == "validation_too_small"


def test_the_number_of_validation_images_is_seen_in_accuracies_that_are_whole_multiples():
    shares = np.array([5, 9, 12, 13, 13, 14, 14, 14]) / 17
    accuracy = {"accuracy": [0.3, 0.5, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8], "val_accuracy": shares}
    found = judge(Curves({**SETTLED, **accuracy}), Known(task="single_label", classes=4))
    assert found.verdict == "validation_too_small"
    assert found.evidence["validation_images"] == 17
    assert verdict({**SETTLED, **accuracy, "val_accuracy": shares * 0.987654}, Known(classes=4)) == "good_fit"


def test_a_test_set_that_is_worse_than_chance_explains_shows_a_leak():
    told = {"validation_images": 500, "validation_accuracy": 0.98, "test_images": 500}
    assert verdict(SETTLED, Known(**told, test_accuracy=0.90)) == "leak"
    assert verdict(SETTLED, Known(**told, test_accuracy=0.965)) == "good_fit"
    assert verdict(SETTLED, Known(validation_images=500, validation_error=1.0, test_error=2.0)) == "leak"
    assert verdict(SETTLED, Known(validation_images=500, validation_error=1.0, test_error=1.2)) == "good_fit"


def test_a_model_that_finds_one_class_only_has_collapsed_whatever_its_curves():
    assert verdict(SETTLED, Known(validation_images=500, recalls=(0.0, 1.0, 0.0))) == "class_collapse"
    assert verdict(SETTLED, Known(validation_images=500, recalls=(0.1, 1.0, 0.0))) == "good_fit"


def test_a_later_stage_that_ends_worse_is_named_and_one_that_does_not_is_not():
    def stages(second):
        columns = {name: [*values, *second] for name, values in SETTLED.items()}
        return judge(Curves({**columns, "stage": [0] * 8 + [1] * len(second)}), KNOWN)

    worse = stages([0.6, 0.58, 0.57, 0.57])
    assert worse.verdict == "stage_made_it_worse"
    assert worse.sentence.startswith("Stage 2 made it worse")
    assert stages([0.3, 0.29, 0.29, 0.29]).verdict != "stage_made_it_worse"


def test_stages_whose_losses_measure_different_things_are_not_compared():
    plans = [kertl.Stage("deep", epochs=8), kertl.Stage("mid", epochs=4, loss="focal", label_smoothing=0.0)]
    columns = {name: [*values, 0.6, 0.58, 0.57, 0.57] for name, values in SETTLED.items()}
    curves = Curves({**columns, "stage": [0] * 8 + [1] * 4})
    assert judge(curves, Known(recipe=kertl.Recipe(plans[:1] * 2))).verdict == "stage_made_it_worse"
    assert judge(curves, Known(recipe=kertl.Recipe(plans))).verdict != "stage_made_it_worse"


def test_without_validation_and_with_few_epochs_that_is_said():
    assert verdict({"loss": SETTLED["loss"]}) == "no_validation"
    assert verdict({name: values[:2] for name, values in SETTLED.items()}) == "too_short"
    assert {"no_validation", "too_short", "good_fit"} <= set(HEALTHY)


def test_what_cannot_be_judged_is_listed():
    told = " ".join(judge(Curves(SETTLED), Known()).unknown)
    for name in ("validation_images", "classes", "test set", "kertl.callbacks.Diagnose"):
        assert name in told
    known = Known(classes=4, validation_images=500, validation_accuracy=0.9, test_images=500, test_accuracy=0.9)
    assert judge(Curves({**SETTLED, "inference_loss": SETTLED["loss"]}), known).unknown == ()


def test_a_learning_curve_tells_bias_from_variance():
    def curve(training, law):
        points = tuple(Point(size, (training,), (1 - law(size),)) for size in (50, 100, 200))
        return LearningCurve(points, law, 0.5, 1000, 1.0, 1.0)

    variance = kertl.diagnose(SETTLED, learning_curve=curve(1.0, PowerLaw(0.0, 2.0, 0.5)))
    bias = kertl.diagnose(SETTLED, learning_curve=curve(0.71, PowerLaw(0.3, 0.0, 1.0)))
    assert variance.learning_curve.startswith("variance dominates. More data")
    assert bias.learning_curve.startswith("bias dominates. More model")
    assert "variance dominates" in variance.table()
    assert kertl.diagnose(SETTLED).learning_curve is None


def test_a_watch_speaks_once_for_each_stage_and_only_while_there_are_epochs_left():
    rows = [{"loss": 1 / (epoch + 1), "val_loss": 0.5 + abs(epoch - 3) / 4} for epoch in range(12)]
    watch = Watch(Known(validation_images=500))
    said = [watch.look(rows[: epoch + 1], 11 - epoch) for epoch in range(12)]
    (one,) = [each for each in said if each]
    assert "overfits from epoch 4 on" in one
    assert said.index(one) >= 5
    late = Watch(Known(validation_images=500))
    assert not any(late.look(rows[: epoch + 1], 0) for epoch in range(12))


GUESSING = {
    "loss": [1.41, 1.40, 1.39, 1.388, 1.387, 1.388, 1.386, 1.387],
    "val_loss": [1.45, 1.38, 1.42, 1.39, 1.43, 1.40, 1.44, 1.41],
    "accuracy": [0.24, 0.26, 0.25, 0.27, 0.26, 0.25, 0.26, 0.25],
    "val_accuracy": [0.25, 0.3, 0.2, 0.25, 0.3, 0.25, 0.2, 0.25],
}
FEW = Known(task="single_label", classes=4, validation_images=20)


def test_a_small_validation_set_does_not_hide_that_nothing_was_learnt():
    found = judge(Curves(GUESSING), FEW)
    assert found.verdict == "underfitting"
    assert "1.387 and validation at one of 1.41, no better than guessing (1.386)." in found.sentence
    assert (
        "of 20 images, is too small to tell: its accuracy at the end, 0.25, is known to within ±0.18, not surely above"
        in (found.summary)
    )
    assert verdict({"loss": GUESSING["loss"]}, Known(task="single_label", classes=4)) == "underfitting"


def test_a_solved_head_underfits_only_if_it_is_no_better_than_guessing():
    recipe = kertl.Recipe([kertl.Stage("deep", solver="exact")])
    known = Known(task="single_label", classes=4, validation_images=500, recipe=recipe)
    assert verdict({"loss": [1.38], "val_loss": [1.39]}, known) == "underfitting"
    assert verdict({"loss": [1.0], "val_loss": [1.05]}, known) == "good_fit"


def test_a_small_validation_set_does_not_hide_a_rate_that_is_too_low():
    falling = {"loss": np.linspace(1.386, 1.30, 10), "val_loss": GUESSING["val_loss"] + [1.38, 1.42]}
    assert verdict(falling, FEW) == "rate_too_low"
    assert verdict(falling, Known(task="single_label", classes=4, validation_images=500)) != "rate_too_low"


def test_a_small_validation_set_that_is_better_than_guessing_says_so_and_what_it_suggests():
    longer = {
        "loss": [1.3, 1.1, 0.9, 0.75, 0.6, 0.5],
        "val_loss": [1.3, 1.15, 1.0, 0.9, 0.8, 0.7],
        "accuracy": [0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "val_accuracy": [0.4, 0.5, 0.6, 0.7, 0.8, 0.8],
    }
    found = judge(Curves(longer), FEW)
    assert found.verdict == "validation_too_small"
    assert "±0.17, above the 0.25 of always naming the largest class. Training by itself" in found.sentence
    assert found.summary.startswith(found.sentence)
    assert "As far as it can be trusted: Training ended too early" in found.summary
