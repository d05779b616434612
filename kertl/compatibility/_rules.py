"""The rules: what to look for, why it matters, what to do about it, and the source."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kertl._terminal import span
from kertl._transformations import transformations_of
from kertl.backbones import APPLICATIONS
from kertl.compatibility._case import Case
from kertl.compatibility._pixels import times_as_wide
from kertl.compatibility._requirements import REQUIREMENTS
from kertl.hardware import replicas, scope_of, shares
from kertl.model import count_trained_on, model_info
from kertl.tasks import task_named
from kertl.training import WITHOUT_VALIDATION, unsupported

_SMALL_BATCH = 16
_VERSIONS = 4
_LEFT_OVER = 0.1
_MANY_PARAMETERS = 1_000_000
_FEW_IMAGES = 1_000
_WIDE = 0.05
_SURE = 0.9
_SAMPLE = 8
_FAR = 10
_SIDES = re.compile(r"(^|[^a-z])(left|right|l|r|links|rechts|gauche|droite)([^a-z]|$)")
_SET_THE_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


@dataclass(frozen=True)
class Rule:
    """One rule: `find` gives a text for each clash in a case."""

    name: str
    severity: str
    clash: str
    why: str
    advice: str
    source: str
    find: Callable[[Case], Iterator[str]]


def matrix() -> str:
    """The rules as a table in Markdown, which is docs/compatibility.md."""
    rows = [
        f"| `{one.name}` | error | {one.clash} | Training would fail. The message says what to do. | `fine_tune` |"
        for one in REQUIREMENTS
    ]
    rows += [
        f"| `{rule.name}` | {rule.severity} | {rule.clash} | {rule.why} {rule.advice} | {rule.source} |"
        for rule in RULES
    ]
    return "\n".join(
        ["| rule | severity | what clashes | why, and what to do | source |", "|---|---|---|---|---|", *rows]
    )


def _rate_set_twice(case: Case) -> Iterator[str]:
    for callback in case.callbacks:
        for one in case.stages:
            if isinstance(callback, _SET_THE_RATE) and one.stage.schedule != "constant":
                yield f"{type(callback).__name__} sets the rate of {one}, which has schedule={one.stage.schedule!r}"


def _unknown_monitor(case: Case) -> Iterator[str]:
    if not all(type(callback).__module__.startswith("keras.") for callback in case.callbacks):
        return  # others may add metrics
    names = ["loss", *(metric.name for metric in task_named(case.data.task).metrics())]
    known = [*names, *(f"val_{name}" for name in names if case.data.validation is not None), "learning_rate"]
    for callback in case.callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is not None and monitor not in known:
            yield f"{type(callback).__name__} watches {monitor!r}, and there are {', '.join(known)}"


def _without_meaning(case: Case) -> Iterator[str]:
    if case.data.validation is None:
        for stage, one in unsupported(case.recipe, WITHOUT_VALIDATION):
            yield f"a stage (at={stage.at!r}) has {one.field}={getattr(stage, one.field)!r}, in {one.where}"


def _live_augmentation_of_features(case: Case) -> Iterator[str]:
    for one in case.stages:
        if one.stage.cache is True and not one.stage.views and one.stage.augment != "none":
            yield f"{one} has cache=True, augment={one.stage.augment!r} and views=0"


def _replicas(case: Case) -> int:
    with scope_of(case.model):
        return replicas()


def _average_on_replicas(case: Case) -> Iterator[str]:
    for one in case.stages:
        if one.stage.ema and _replicas(case) > 1:
            yield f"{one} has ema={one.stage.ema:g}, and the model has {_replicas(case)} replicas"


def _uneven_last_batch(case: Case) -> Iterator[str]:
    count, images = _replicas(case), case.data.train.num_examples
    for one in case.stages:
        left = images % one.batch_size
        if left % count or one.batch_size % count:
            last = left or one.batch_size
            yield f"{one} has batches of {one.batch_size} and a last one of {last}, for {count} replicas"


def _replica_without_images(case: Case) -> Iterator[str]:
    count = _replicas(case)
    for name, _, last in _batches(case):
        if math.ceil(last / math.ceil(last / count)) < count:  # each takes as many, the last what is left
            yield f"the last batch of the {name} images has {last}, for {count} replicas"


def _unequal_shares(case: Case) -> Iterator[str]:
    count = shares()
    for name, size, last in _batches(case):
        if uneven := [images for images in dict.fromkeys((size, last)) if images % count]:
            yield f"a batch of the {name} images has {uneven[0]}, for {count} devices"


def _batches(case: Case) -> Iterator[tuple[str, int, int]]:
    """Of each part its name, how many images its first batch has, and how many its last."""
    data = case.data
    parts: list[tuple[str, Any, int]] = [("training", data.train, one.batch_size) for one in case.stages]
    parts += [("validation", data.validation, data.batch_size), ("test", data.test, data.batch_size)]
    for name, part, size in dict.fromkeys(parts):
        if part is not None:
            yield name, min(size, part.num_examples), part.num_examples % size or size


def _statistics_per_replica(case: Case) -> Iterator[str]:
    for one in case.stages:
        alone = [layer for layer in one.batch_norms if not getattr(layer, "synchronized", True)]
        if alone and _replicas(case) > 1:
            yield f"{one} trains {len(alone)} BatchNorm layers, each on its replica's share of the batch"


def _frozen_again_and_again(case: Case) -> Iterator[str]:
    if _replicas(case) > 1:  # features are not cached there, whatever the stage says
        return
    for one in case.stages:
        stage = one.stage
        varied = stage.augment != "none" and not stage.views
        if one.first and varied and stage.cache == "auto" and not stage.cutmix and stage.epochs > _VERSIONS:
            seen, least = (times * case.data.train.num_examples for times in (stage.epochs, _VERSIONS))
            seconds = one.frozen_seconds
            yield (
                f"{one} trains on images, since augment={stage.augment!r} and views=0: its frozen part sees {seen:,} "
                f"images instead of {least:,}, which takes about {span(seen * seconds)} instead of "
                f"{span(least * seconds)} here"
            )


def _small_batches(case: Case) -> Iterator[str]:
    for one in case.stages:
        if one.batch_norms and one.batch_size < _SMALL_BATCH:
            yield f"{one} trains {len(one.batch_norms)} BatchNorm layers on batches of {one.batch_size}"


def _slow_statistics(case: Case) -> Iterator[str]:
    for one in case.stages:
        slow = max((layer.momentum for layer in one.batch_norms), default=0.0)
        if slow**one.steps > _LEFT_OVER:
            left = f"{slow**one.steps:.0%} of their old statistics"
            yield f"in {one}, BatchNorm layers of momentum {slow:g} keep {left} after {one.steps} steps"


def _dropout_before_norm(case: Case) -> Iterator[str]:
    for layer in case.after_dropout():
        if any(layer in one.batch_norms for one in case.stages):
            yield f"{layer.name!r} takes what a Dropout layer gives"


def _soft_thrice(case: Case) -> Iterator[str]:
    for one in case.stages:
        stage = one.stage
        if (stage.mixup or stage.cutmix) and stage.loss == "focal" and stage.label_smoothing:
            yield f"{one} has mixed labels, the focal loss and label_smoothing={stage.label_smoothing:g}"


def _own_loss_of_mixed(case: Case) -> Iterator[str]:
    for one in case.stages:
        if (one.stage.mixup or one.stage.cutmix) and ">" in str(one.stage.loss) and case.data.task == "single_label":
            yield f"{one} mixes labels and has the loss {one.stage.loss!r}"


def _mirrored_sides(case: Case) -> Iterator[str]:
    sided = [name for name in case.data.class_names if _SIDES.search(name.lower().replace("_", " "))]
    flips = [one for one in case.stages if "flip" in dict(transformations_of(one.stage.augment))]
    if sided and flips and case.data.task != "regression":
        yield f"{flips[0]} mirrors images, and there are classes {', '.join(map(repr, sided))}"


def _decay_twice(case: Case) -> Iterator[str]:
    for one in case.stages:
        if not one.stage.weight_decay:
            continue
        if any(getattr(getattr(layer, "kernel_regularizer", None), "l2", 0) for layer in one.layers):
            yield f"{one} has weight_decay={one.stage.weight_decay:g}, and layers with an L2 penalty"
        if one.stage.l2_sp:
            yield f"{one} has weight_decay={one.stage.weight_decay:g} and l2_sp={one.stage.l2_sp:g}"


def _everything_on_few(case: Case) -> Iterator[str]:
    images = case.data.train.num_examples
    for one in case.stages:
        trained = sum(group.parameters for group in case.chain.backbone_groups)
        if one.first == 0 and trained >= _MANY_PARAMETERS and images < _FEW_IMAGES and not one.stage.l2_sp:
            yield f"{one} trains {trained:,} parameters of the backbone on {images:,} images"


def _small_validation(case: Case) -> Iterator[str]:
    if case.data.validation is None:
        yield "there is no validation set, so the training loss chooses the weights"
        return
    images = case.data.validation.num_examples
    half = 1.96 * math.sqrt(_SURE * (1 - _SURE) / images)
    if case.data.task != "regression" and half > _WIDE:
        yield f"the validation set has {images} images: an accuracy of {_SURE:.0%} is known to within ±{half:.0%}"


def _held_out_seen(case: Case) -> Iterator[str]:
    for name, part in (("validation", case.data.validation), ("test", case.data.test)):
        if part is not None and (count := count_trained_on(case.model, part)):
            yield f"{case.model.name!r} has been trained on {count} of the {part.num_examples} {name} images"


def _far_rate(case: Case) -> Iterator[str]:
    suggestion = getattr(case.range_test, "suggestion", None)
    if suggestion is None:
        return
    for one in case.stages:
        peak = one.stage.peak
        if peak != "auto" and not suggestion / 30 <= peak <= suggestion * 10:
            yield f"{one} has learning_rate={peak:g}, and the range test suggests {suggestion:.2g}"


def _far_size(case: Case) -> Iterator[str]:
    info = model_info(case.model)
    known = APPLICATIONS.get(info.backbone) if info else None
    if known is None:
        return
    sizes = {tuple(one.stage.image_size or case.data.image_size) for one in case.stages}
    for height, width in sorted(sizes):
        if not known.size / 2 <= math.sqrt(height * width) <= known.size * 2:
            yield f"images of {height} x {width} pixels for {known.name}, which was trained at {known.size}"


def _other_pixels(case: Case) -> Iterator[str]:
    images = case.data.train.reader.take(np.arange(min(_SAMPLE, case.data.train.num_examples)))
    times = times_as_wide(case.chain, images)
    if times is not None and not 1 / _FAR <= times <= _FAR:
        name = case.model.name
        yield f"values in front of the first BatchNorm of {name!r} are {times:.2g} times as wide as in its training"


def _other_last_size(case: Case) -> Iterator[str]:
    last = case.stages[-1]
    own = tuple(case.model.input_shape[1:3])
    if last.stage.image_size not in (None, own) and None not in own:
        yield f"{last}, the last, trains at {last.stage.image_size}, and the model takes images of {own}"


RULES: tuple[Rule, ...] = (
    Rule(
        "rate-set-twice",
        "error",
        "ReduceLROnPlateau or LearningRateScheduler, and a stage with a schedule",
        "Keras raises when the callback first sets the rate, which may be hours in.",
        "Take schedule='constant', or leave the callback out.",
        "measured with Keras 3.15",
        _rate_set_twice,
    ),
    Rule(
        "unknown-monitor",
        "error",
        "A callback that watches a metric that does not exist",
        "Keras warns in each epoch and never stops or saves.",
        "Name one of the existing metrics.",
        "measured with Keras 3.15",
        _unknown_monitor,
    ),
    Rule(
        "without-meaning",
        "error",
        "A field of a stage that has no effect where it is trained",
        "The table below lists these fields.",
        "Leave it out.",
        "kertl.training.UNSUPPORTED",
        _without_meaning,
    ),
    Rule(
        "live-augmentation-of-features",
        "error",
        "Cached features, and images that vary anew in each epoch",
        "Features are computed from fixed versions of the images.",
        "Pass views=4, or augment='none', or cache=False.",
        "docs/design/features.md",
        _live_augmentation_of_features,
    ),
    Rule(
        "frozen-part-again-and-again",
        "warning",
        "Images that vary anew in each epoch, and a part that is frozen",
        "The frozen part is computed in every epoch, which takes most of the time.",
        f"Pass views={_VERSIONS} or augment='none', so that its features are cached, or cache=False if that is meant.",
        "docs/design/features.md",
        _frozen_again_and_again,
    ),
    Rule(
        "batch-norm-on-small-batches",
        "warning",
        f"BatchNorm that trains, and batches under {_SMALL_BATCH}",
        "Mean and variance of few images are noise, in training and in the stored statistics.",
        "Freeze it (batch_norm='frozen', Head(batch_norm=False)), or use larger batches.",
        "Wu & He 2018, https://arxiv.org/abs/1803.08494",
        _small_batches,
    ),
    Rule(
        "batch-norm-too-slow",
        "warning",
        "BatchNorm that trains, and a momentum too high for the number of steps",
        "Training normalises by the batch, evaluation by statistics that have not settled yet.",
        "Freeze it, train longer, or lower its momentum (Head(batch_norm_momentum=0.9)).",
        "Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167",
        _slow_statistics,
    ),
    Rule(
        "dropout-before-batch-norm",
        "warning",
        "Dropout just before a BatchNorm that trains",
        "Dropout changes the variance in training but not in evaluation, so the stored variance is wrong.",
        "Put dropout after the last BatchNorm.",
        "Li et al. 2019, https://arxiv.org/abs/1801.05134",
        _dropout_before_norm,
    ),
    Rule(
        "soft-labels-thrice",
        "warning",
        "MixUp or CutMix, the focal loss, and label smoothing at once",
        "Each gives less weight to what is already predicted well; together the labels hardly count.",
        "Keep one or two of the three.",
        "Zhang et al. 2018, section 4; Lin et al. 2017, https://arxiv.org/abs/1708.02002",
        _soft_thrice,
    ),
    Rule(
        "own-loss-of-mixed-labels",
        "warning",
        "MixUp or CutMix, and a custom loss",
        "Mixed labels are rows of shares in training, and class ids in validation.",
        "Make the loss accept both.",
        "Zhang et al. 2018, https://arxiv.org/abs/1710.09412",
        _own_loss_of_mixed,
    ),
    Rule(
        "flip-of-left-and-right",
        "warning",
        "Mirrored images, and classes named after sides",
        "A mirrored left hand looks like a right one but keeps the label of a left one.",
        "Leave flips out, and use `kertl.data.check_augmentation`.",
        "Shorten & Khoshgoftaar 2019, https://doi.org/10.1186/s40537-019-0197-0",
        _mirrored_sides,
    ),
    Rule(
        "decay-twice",
        "warning",
        "Weight decay, and a penalty (L2, L2-SP) on the same weights",
        "Both pull by different rules, and towards zero or towards the pretrained weights.",
        "Keep one: weight_decay=0 beside L2 or L2-SP.",
        "Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101",
        _decay_twice,
    ),
    Rule(
        "everything-on-few-images",
        "warning",
        f"A whole backbone of {_MANY_PARAMETERS:,} parameters or more, and fewer than {_FEW_IMAGES:,} images",
        "It fits peculiarities of these images, and loses what it knew.",
        "Train a part of it, or keep it near its start with l2_sp.",
        "Kumar et al. 2022, https://arxiv.org/abs/2202.10054",
        _everything_on_few,
    ),
    Rule(
        "small-validation",
        "warning",
        f"A validation set on which an accuracy of {_SURE:.0%} is uncertain by more than ±{_WIDE:.0%}, or none",
        "Settings that differ by less cannot be distinguished there.",
        "Give it more images, or use `kertl.cross_validate`.",
        "Normal approximation of the binomial interval",
        _small_validation,
    ),
    Rule(
        "held-out-images-seen",
        "warning",
        "A model that has been trained on images that are held out now (with another split, or by `refit`)",
        "It does better on them than on new ones, so they neither choose well nor tell how well it does.",
        "Keep the split (seed, `split_column`), or begin with a model that has not seen them.",
        "Kaufman et al. 2012, https://doi.org/10.1145/2382577.2382579",
        _held_out_seen,
    ),
    Rule(
        "rate-far-from-range-test",
        "warning",
        "A learning rate above 10 times, or under a thirtieth, of what the range test suggests",
        "It diverges, or hardly moves.",
        "Use the suggestion, or learning_rate='auto'.",
        "Smith 2017, https://arxiv.org/abs/1506.01186",
        _far_rate,
    ),
    Rule(
        "size-far-from-pretraining",
        "warning",
        "Images less than half, or more than twice, the size of pretraining",
        "Filters recognise things at the size at which they learnt them.",
        "Choose a size nearer to it, or train more of the backbone.",
        "Touvron et al. 2019, https://arxiv.org/abs/1906.06423",
        _far_size,
    ),
    Rule(
        "other-pixels-than-in-training",
        "warning",
        "Values in front of the first BatchNorm over 10 times as wide or narrow as in the training of the network",
        "The network was trained on pixels of another range: right ones were 0.4 to 1.7 times as wide, those of 0..255 "
        "instead of 0..1 over 50 times.",
        "Load the backbone with `preprocessing=` as it was trained: 'none' (0..255), 'unit' (0..1) or 'tf' (-1..1).",
        "benchmarks/foreign_models.py --pixels",
        _other_pixels,
    ),
    Rule(
        "average-on-replicas",
        "error",
        "An average of the weights, and several replicas",
        "Keras' optimizers cannot keep it under a `tf.distribute` strategy.",
        "Take ema=0, or one device.",
        "measured with Keras 3.15",
        _average_on_replicas,
    ),
    Rule(
        "uneven-batches-on-replicas",
        "warning",
        "A batch that does not divide evenly over the replicas",
        "The mean of each replica counts alike, so images of smaller shares count more.",
        "Choose a batch size that the number of replicas divides, and that leaves no such rest.",
        "measured with TensorFlow 2.21",
        _uneven_last_batch,
    ),
    Rule(
        "replica-without-images",
        "error",
        "A last batch that leaves a replica without images",
        "TensorFlow fails on an empty share, in the evaluation after the training too.",
        "Choose a batch size that leaves no such rest, for all parts.",
        "measured with TensorFlow 2.21",
        _replica_without_images,
    ),
    Rule(
        "unequal-shares",
        "error",
        "A batch that the devices of JAX cannot share equally",
        "JAX refuses it, of the test set after the training.",
        "Choose a batch size that leaves no such rest, for all parts, leave out images, or take one device.",
        "measured with JAX 0.10",
        _unequal_shares,
    ),
    Rule(
        "statistics-per-replica",
        "warning",
        "BatchNorm of a backbone that trains, and several replicas",
        "Each replica normalises by its own share of the batch.",
        "Take batch_norm='frozen', or give each replica a larger batch.",
        "https://keras.io/api/layers/normalization_layers/batch_normalization",
        _statistics_per_replica,
    ),
    Rule(
        "last-stage-at-another-size",
        "warning",
        "A last stage at another size than the model's",
        "The model predicts at its own size, which it was not trained on last.",
        "End with a stage without image_size.",
        "Touvron et al. 2019, https://arxiv.org/abs/1906.06423",
        _other_last_size,
    ),
)
