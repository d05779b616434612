"""What a callback remembers from one epoch to the next, as plain values, so that a run can resume in another process.

Any callback can take part with two methods: `get_state()`, which gives numbers, strings, None, numpy arrays, and lists
and dictionaries of them, and `set_state(state)`, which is called after `on_train_begin`. Keras' `EarlyStopping`,
`ReduceLROnPlateau` and `ModelCheckpoint` are known.
"""

from typing import Any

import keras

from kertl._keras import CHECKPOINT_STATE

_KNOWN: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("best", "best_epoch", "best_weights", "stopped_epoch", "wait"),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
    keras.callbacks.ModelCheckpoint: ("best", *CHECKPOINT_STATE),
}


def get_state(callback: keras.callbacks.Callback) -> Any:
    """What the callback remembers; None if nothing is known to be remembered."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    return {name: getattr(callback, name) for name in _names(callback)} or None


def set_state(callback: keras.callbacks.Callback, state: Any) -> None:
    """Restore what `get_state` gave."""
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name in _names(callback):
        setattr(callback, name, state[name])


def forgets(callback: keras.callbacks.Callback) -> bool:
    """Whether the callback is not Keras' own, has attributes of its own, and does not say what it remembers."""
    own = vars(callback).keys() - vars(keras.callbacks.Callback()).keys()
    keras_own = type(callback).__module__.split(".")[0] in ("keras", "kertl")
    return bool(own) and not keras_own and not hasattr(callback, "get_state") and not _names(callback)


def _names(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    return next((names for kind, names in _KNOWN.items() if isinstance(callback, kind)), ())
