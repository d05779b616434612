"""Which fields of a stage clash: those that have no meaning, or no effect, beside what another one says."""

from typing import Any

from kertl._checks import complain

# Fields that have no meaning where no steps are taken.
_OF_STEPS = (
    "oversample",
    "learning_rate",
    "layer_decay",
    "schedule",
    "optimizer",
    "weight_decay",
    "loss",
    "mixup",
    "cutmix",
    "batch_norm",
    "patience_epochs",
    "until_below_validation",
    "ema",
    "l2_sp",
    "lora_rank",
    "gradient_checkpointing",
    "quantize",
)
# What fields may be where a stage trains for 8 bits, and why not more.
_NOT_IN_INT8: dict[str, tuple[tuple[Any, ...], str]] = {
    "cache": (("auto", False), "The frozen part is rounded too, and trains on images."),
    "views": ((0,), "The frozen part is rounded too, and trains on images."),
    "lora_rank": ((0,), "Factors would have to be rounded with their kernels."),
    "gradient_checkpointing": ((False,), "The rounded network is one layer, whose values are all kept."),
    "image_size": ((None,), "Ranges of activations hold for the size of the model."),
}


def refuse_clashes(stage: Any) -> None:
    """Raise if two fields of a `kertl.Stage`, each of which is in its range, do not go together.

    Raises:
        ValueError: If so; the message names both.
    """
    if stage.solver == "exact":
        _exact(stage)
    _weights(stage)
    _cache(stage)
    _rates(stage)
    if stage.lora_rank:
        _low_rank(stage)
    if stage.quantize:
        _int8(stage)


def _usual(stage: Any, field: str) -> Any:
    return getattr(type(stage), field)


def _exact(stage: Any) -> None:
    if stage.at in ("mid", "full") or (isinstance(stage.at, int) and stage.at != 1):
        raise complain("at", "'deep', or 1, with solver='exact', which solves the head alone", stage.at)
    if stage.epochs != 1:
        raise complain("epochs", "left out, or 1, with solver='exact'", stage.epochs, "No steps are taken.")
    for field in _OF_STEPS:
        if getattr(stage, field) != _usual(stage, field):
            advice = "Pass `class_weights`." if field == "oversample" else "No steps are taken."
            accepted = f"left out, or {_usual(stage, field)!r}, with solver='exact'"
            raise complain(field, accepted, getattr(stage, field), advice, code="combination")
    if stage.cache is False:
        raise complain("cache", "'auto' or True with solver='exact', which needs all features at once", stage.cache)


def _weights(stage: Any) -> None:
    if stage.oversample and stage.class_weights:
        advice = "Rare classes would count twice: leave out one of the two."
        raise complain("class_weights", "False with oversample=True", stage.class_weights, advice, code="combination")


def _cache(stage: Any) -> None:
    if stage.cache is False and stage.views:
        raise complain(
            "views", "0 with cache=False, since versions of images are cached", stage.views, code="combination"
        )
    if stage.views and stage.augment == "none":
        advice = "Pass `augment='light'`, say, or views=0."
        raise complain("views", "0 with augment='none', where all versions of an image are equal", stage.views, advice)
    if stage.cutmix and (stage.cache is True or stage.views):
        kept = f"cache={stage.cache!r}, views={stage.views!r}"
        advice = "It pastes pieces of images, not of features. Pass cache=False and views=0, or `mixup`."
        raise complain("cutmix", f"0 with {kept}", stage.cutmix, advice, code="combination")


def _rates(stage: Any) -> None:
    if isinstance(stage.learning_rate, tuple) and stage.layer_decay != 1:
        raise complain("layer_decay", "1 where `learning_rate` says the rates of all groups", stage.layer_decay)
    if stage.learning_rate == "auto" and stage.quantize:
        advice = "Pass a tenth of the rate of the stage before."
        raise complain("learning_rate", "a number with quantize='int8'", stage.learning_rate, advice)


def _low_rank(stage: Any) -> None:
    for field in ("l2_sp", "batch_norm"):
        if getattr(stage, field) != _usual(stage, field):
            accepted = f"{_usual(stage, field)!r} with lora_rank={stage.lora_rank}"
            advice = "The weights of the backbone do not move by themselves there."
            raise complain(field, accepted, getattr(stage, field), advice, code="combination")


def _int8(stage: Any) -> None:
    for field, (accepted, why) in _NOT_IN_INT8.items():
        if getattr(stage, field) not in accepted:
            told = " or ".join(map(repr, accepted))
            raise complain(
                field, f"{told} with quantize={stage.quantize!r}", getattr(stage, field), why, code="combination"
            )
