"""What to try after each verdict, as Python code with the numbers of the training."""

from collections.abc import Callable

from kertl.diagnosis._case import Case

_NEXT_BOUNDARY = {"deep": "mid", "mid": "full"}


def advice(verdict: str, case: Case) -> str:
    """Code that tries the most likely remedy; it calls kertl with names that are explained in a comment."""
    return _ADVICE[verdict](case)


def _at(case: Case) -> str:
    stage = case.plan
    return repr("deep" if stage is None else stage.at)


def _rate(case: Case, times: float) -> str:
    """The rate of the training, changed; where it is not known, a range test finds one."""
    stage = case.plan
    known = stage.peak if stage is not None and isinstance(stage.peak, float) else case.rate
    return repr("auto") if not known else f"{known * times:.1e}"


def _good_fit(_: Case) -> str:
    return 'kertl.evaluate(model, data, part="test")  # these influenced no choice'


def _overfitting(case: Case) -> str:
    epochs = max(2, case.best + 1)
    return (
        f"stage = kertl.Stage(\n    {_at(case)}, epochs={epochs}, patience_epochs=3, "
        'augment="light", views=4, mixup=0.2\n)\n'
        "head = kertl.Head(dropout=0.5)\n"
        "curve = kertl.learning_curve(model, data)  # would more images help?"
    )


def _underfitting(case: Case) -> str:
    stage = case.plan
    further = _NEXT_BOUNDARY.get(str(stage.at) if stage else "deep", "full")
    return (
        f"stages = [\n    kertl.Stage({_at(case)}, epochs=15),\n"
        f"    kertl.Stage({further!r}, epochs=10, learning_rate=3e-5),\n]\n"
        'head = kertl.Head(depths="auto")  # or hidden_units=(256,), dropout=0.0'
    )


def _still_improving(case: Case) -> str:
    return f"stage = kertl.Stage({_at(case)}, epochs={2 * case.epochs}, patience_epochs=5)"


def _rate_too_high(case: Case) -> str:
    return f"stage = kertl.Stage({_at(case)}, epochs={case.epochs}, learning_rate={_rate(case, 0.1)})"


def _rate_too_low(case: Case) -> str:
    return f"stage = kertl.Stage({_at(case)}, epochs={case.epochs}, learning_rate={_rate(case, 30)})"


def _diverged(case: Case) -> str:
    return (
        f"stage = kertl.Stage({_at(case)}, epochs={case.epochs}, learning_rate={_rate(case, 0.01)})\n"
        "test = kertl.lr_range_test(model, data.train)\n"
        "print(data.issues)  # broken images and labels"
    )


def _batch_norm(case: Case) -> str:
    return (
        f'stage = kertl.Stage({_at(case)}, epochs={case.epochs}, batch_norm="frozen")\n'
        "head = kertl.Head(batch_norm_momentum=0.9)  # or batch_norm=False"
    )


def _leak(_: Case) -> str:
    return (
        "print(data.issues)  # copies of an image on both sides of the split\n"
        "# what belongs together, such as a patient's images, stays on one side:\n"
        'data = kertl.data.from_csv("labels.csv", group_column="patient")'
    )


def _validation_too_small(_: Case) -> str:
    return "found = kertl.cross_validate(model, data, folds=5)  # validates every image"


def _label_noise(case: Case) -> str:
    return (
        "found = kertl.cross_validate(model, data, folds=5)\n"
        "sure = found.predictions.max(axis=1)\n"
        "doubtful = (found.predictions.argmax(axis=1) != found.labels) & (sure > 0.9)\n"
        "print([file for file, one in zip(found.files, doubtful) if one])\n"
        f"stage = kertl.Stage({_at(case)}, epochs={max(2, case.best + 1)}, label_smoothing=0.2)"
    )


def _class_collapse(case: Case) -> str:
    return (
        f"stage = kertl.Stage(\n    {_at(case)}, epochs={max(10, case.epochs)}, class_weights=True, "
        f"learning_rate={_rate(case, 1)}\n)\n"
        "print(data.summary())  # images of each class"
    )


def _plateau(case: Case) -> str:
    rate = _rate(case, 1)
    return f'stage = kertl.Stage(\n    {_at(case)}, epochs={case.epochs}, learning_rate={rate}, schedule="one_cycle"\n)'


def _stage_made_it_worse(case: Case) -> str:
    kept = f"{case.stage + 1}"
    later = case.known.recipe.stages[case.stage + 1].at if _has_later(case) and case.known.recipe else "mid"
    return (
        f"recipe = kertl.Recipe(stages=recipe.stages[:{kept}])  # or more carefully:\n"
        f"stage = kertl.Stage({later!r}, epochs=10, learning_rate=1e-5, layer_decay=0.8)"
    )


def _has_later(case: Case) -> bool:
    recipe = case.known.recipe
    return recipe is not None and case.stage + 1 < len(recipe.stages)


def _vanishing_gradients(case: Case) -> str:
    return (
        "# BatchNorm, and relu instead of sigmoid or tanh, let gradients pass:\n"
        "head = kertl.Head(hidden_units=(256,), batch_norm=True)\n"
        f"stage = kertl.Stage({_at(case)}, epochs={max(5, case.epochs)}, learning_rate=1e-3)"
    )


def _too_short(case: Case) -> str:
    return f"stage = kertl.Stage({_at(case)}, epochs=10)"


def _no_validation(_: Case) -> str:
    return 'data = kertl.data.from_directory(\n    "photos/", image_size=(224, 224), validation=0.15, test=0.15\n)'


_ADVICE: dict[str, Callable[[Case], str]] = {
    "good_fit": _good_fit,
    "overfitting": _overfitting,
    "underfitting": _underfitting,
    "still_improving": _still_improving,
    "rate_too_high": _rate_too_high,
    "rate_too_low": _rate_too_low,
    "diverged": _diverged,
    "batch_norm": _batch_norm,
    "leak": _leak,
    "validation_too_small": _validation_too_small,
    "label_noise": _label_noise,
    "class_collapse": _class_collapse,
    "plateau": _plateau,
    "stage_made_it_worse": _stage_made_it_worse,
    "vanishing_gradients": _vanishing_gradients,
    "too_short": _too_short,
    "no_validation": _no_validation,
}

VERDICTS: tuple[str, ...] = tuple(_ADVICE)
"""The names of all verdicts."""
