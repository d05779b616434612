"""What looks for the clash of each rule: a generator of texts, one for each place of a case where it is found."""

import math
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kertl._terminal import span
from kertl._transformations import transformations_of
from kertl.backbones import APPLICATIONS
from kertl.compatibility._case import Case
from kertl.compatibility._pixels import times_as_wide, untrained
from kertl.hardware import replicas, scope_of, shares
from kertl.model import count_trained_on, model_info
from kertl.tasks import task_named
from kertl.training import WITHOUT_VALIDATION, unsupported

SMALL_BATCH = 16
VERSIONS = 4
_LEFT_OVER = 0.1
MANY_PARAMETERS = 1_000_000
FEW_IMAGES = 1_000
WIDE = 0.05
SURE = 0.9
_SAMPLE = 8
_FAR = 10
_SIDES = re.compile(r"(^|[^a-z])(left|right|l|r|links|rechts|gauche|droite)([^a-z]|$)")
_SET_THE_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


def rate_set_twice(case: Case) -> Iterator[str]:
    for callback in case.callbacks:
        for one in case.stages:
            if isinstance(callback, _SET_THE_RATE) and one.stage.schedule != "constant":
                yield f"{type(callback).__name__} sets the rate of {one}, which has schedule={one.stage.schedule!r}"


def unknown_monitor(case: Case) -> Iterator[str]:
    if not all(type(callback).__module__.startswith("keras.") for callback in case.callbacks):
        return  # others may add metrics
    names = ["loss", *(metric.name for metric in task_named(case.data.task).metrics())]
    known = [*names, *(f"val_{name}" for name in names if case.data.validation is not None), "learning_rate"]
    for callback in case.callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is not None and monitor not in known:
            yield f"{type(callback).__name__} watches {monitor!r}, and there are {', '.join(known)}"


def without_meaning(case: Case) -> Iterator[str]:
    if case.data.validation is None:
        for stage, one in unsupported(case.recipe, WITHOUT_VALIDATION):
            yield f"a stage (at={stage.at!r}) has {one.field}={getattr(stage, one.field)!r}, in {one.where}"


def live_augmentation_of_features(case: Case) -> Iterator[str]:
    for one in case.stages:
        if one.stage.cache is True and not one.stage.views and one.stage.augment != "none":
            yield f"{one} has cache=True, augment={one.stage.augment!r} and views=0"


def _replicas(case: Case) -> int:
    with scope_of(case.model):
        return replicas()


def average_on_replicas(case: Case) -> Iterator[str]:
    for one in case.stages:
        if one.stage.ema and _replicas(case) > 1:
            yield f"{one} has ema={one.stage.ema:g}, and the model has {_replicas(case)} replicas"


def uneven_last_batch(case: Case) -> Iterator[str]:
    count, images = _replicas(case), case.data.train.num_examples
    for one in case.stages:
        left = images % one.batch_size
        if left % count or one.batch_size % count:
            last = left or one.batch_size
            yield f"{one} has batches of {one.batch_size} and a last one of {last}, for {count} replicas"


def replica_without_images(case: Case) -> Iterator[str]:
    count = _replicas(case)
    for name, _, last in _batches(case):
        if math.ceil(last / math.ceil(last / count)) < count:  # each takes as many, the last what is left
            yield f"the last batch of the {name} images has {last}, for {count} replicas"


def unequal_shares(case: Case) -> Iterator[str]:
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


def statistics_per_replica(case: Case) -> Iterator[str]:
    for one in case.stages:
        alone = [layer for layer in one.batch_norms if not getattr(layer, "synchronized", True)]
        if alone and _replicas(case) > 1:
            yield f"{one} trains {len(alone)} BatchNorm layers, each on its replica's share of the batch"


def frozen_again_and_again(case: Case) -> Iterator[str]:
    if _replicas(case) > 1:  # features are not cached there, whatever the stage says
        return
    for one in case.stages:
        stage = one.stage
        varied = stage.augment != "none" and not stage.views
        if one.first and varied and stage.cache == "auto" and not stage.cutmix and stage.epochs > VERSIONS:
            seen, least = (times * case.data.train.num_examples for times in (stage.epochs, VERSIONS))
            seconds = one.frozen_seconds
            yield (
                f"{one} trains on images, since augment={stage.augment!r} and views=0: its frozen part sees {seen:,} "
                f"images instead of {least:,}, which takes about {span(seen * seconds)} instead of "
                f"{span(least * seconds)} here"
            )


def small_batches(case: Case) -> Iterator[str]:
    for one in case.stages:
        if one.batch_norms and one.batch_size < SMALL_BATCH:
            yield f"{one} trains {len(one.batch_norms)} BatchNorm layers on batches of {one.batch_size}"


def slow_statistics(case: Case) -> Iterator[str]:
    for one in case.stages:
        slow = max((layer.momentum for layer in one.batch_norms), default=0.0)
        if slow**one.steps > _LEFT_OVER:
            left = f"{slow**one.steps:.0%} of their old statistics"
            yield f"in {one}, BatchNorm layers of momentum {slow:g} keep {left} after {one.steps} steps"


def dropout_before_norm(case: Case) -> Iterator[str]:
    for layer in case.after_dropout():
        if any(layer in one.batch_norms for one in case.stages):
            yield f"{layer.name!r} takes what a Dropout layer gives"


def soft_thrice(case: Case) -> Iterator[str]:
    for one in case.stages:
        stage = one.stage
        if (stage.mixup or stage.cutmix) and stage.loss == "focal" and stage.label_smoothing:
            yield f"{one} has mixed labels, the focal loss and label_smoothing={stage.label_smoothing:g}"


def own_loss_of_mixed(case: Case) -> Iterator[str]:
    for one in case.stages:
        if (one.stage.mixup or one.stage.cutmix) and ">" in str(one.stage.loss) and case.data.task == "single_label":
            yield f"{one} mixes labels and has the loss {one.stage.loss!r}"


def mirrored_sides(case: Case) -> Iterator[str]:
    sided = [name for name in case.data.class_names if _SIDES.search(name.lower().replace("_", " "))]
    flips = [one for one in case.stages if "flip" in dict(transformations_of(one.stage.augment))]
    if sided and flips and task_named(case.data.task).output_of == "class":
        yield f"{flips[0]} mirrors images, and there are classes {', '.join(map(repr, sided))}"


def decay_twice(case: Case) -> Iterator[str]:
    for one in case.stages:
        if not one.stage.weight_decay:
            continue
        if any(getattr(getattr(layer, "kernel_regularizer", None), "l2", 0) for layer in one.layers):
            yield f"{one} has weight_decay={one.stage.weight_decay:g}, and layers with an L2 penalty"
        if one.stage.l2_sp:
            yield f"{one} has weight_decay={one.stage.weight_decay:g} and l2_sp={one.stage.l2_sp:g}"


def everything_on_few(case: Case) -> Iterator[str]:
    images = case.data.train.num_examples
    for one in case.stages:
        trained = sum(group.parameters for group in case.chain.backbone_groups)
        if one.first == 0 and trained >= MANY_PARAMETERS and images < FEW_IMAGES and not one.stage.l2_sp:
            yield f"{one} trains {trained:,} parameters of the backbone on {images:,} images"


def small_validation(case: Case) -> Iterator[str]:
    if case.data.validation is None:
        yield "there is no validation set, so the training loss chooses the weights"
        return
    images = case.data.validation.num_examples
    half = 1.96 * math.sqrt(SURE * (1 - SURE) / images)
    if task_named(case.data.task).output_of == "class" and half > WIDE:
        yield f"the validation set has {images} images: an accuracy of {SURE:.0%} is known to within ±{half:.0%}"


def held_out_seen(case: Case) -> Iterator[str]:
    for name, part in (("validation", case.data.validation), ("test", case.data.test)):
        if part is not None and (count := count_trained_on(case.model, part)):
            yield f"{case.model.name!r} has been trained on {count} of the {part.num_examples} {name} images"


def far_rate(case: Case) -> Iterator[str]:
    suggestion = getattr(case.range_test, "suggestion", None)
    if suggestion is None:
        return
    for one in case.stages:
        peak = one.stage.peak
        if peak != "auto" and not suggestion / 30 <= peak <= suggestion * 10:
            yield f"{one} has learning_rate={peak:g}, and the range test suggests {suggestion:.2g}"


def far_size(case: Case) -> Iterator[str]:
    info = model_info(case.model)
    known = APPLICATIONS.get(info.backbone) if info else None
    if known is None or untrained(case.model):
        return
    sizes = {tuple(one.stage.image_size or case.data.image_size) for one in case.stages}
    for height, width in sorted(sizes):
        if not known.size / 2 <= math.sqrt(height * width) <= known.size * 2:
            yield f"images of {height} x {width} pixels for {known.name}, which was trained at {known.size}"


def other_pixels(case: Case) -> Iterator[str]:
    images = case.data.train.reader.take(np.arange(min(_SAMPLE, case.data.train.num_examples)))
    times = times_as_wide(case.chain, images)
    if times is not None and not 1 / _FAR <= times <= _FAR:
        name = case.model.name
        yield f"values in front of the first BatchNorm of {name!r} are {times:.2g} times as wide as in its training"


def other_last_size(case: Case) -> Iterator[str]:
    last = case.stages[-1]
    own = tuple(case.model.input_shape[1:3])
    if last.stage.image_size not in (None, own) and None not in own:
        yield f"{last}, the last, trains at {last.stage.image_size}, and the model takes images of {own}"
