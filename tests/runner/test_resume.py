"""A run that is interrupted resumes where it was, and ends with the same bits."""

import os
import signal

import keras
import numpy as np
import pytest

import kertl
from kertl.runner import _fine_tune, _journal
from tests.marks import promised
from tests.messages import assert_names
from tests.runs import digest, quick, recipe, squares, tiny


class Killed(BaseException):
    """Ends a run as a kill does: nobody catches it, nothing is written after it."""


class Kill(keras.callbacks.Callback):
    """Raises at a moment that is counted in calls of the hooks given."""

    def __init__(self, hooks=(), at=0, act=None):
        super().__init__()
        self.left, self.act = at, act or self.kill
        for hook in hooks:
            setattr(self, hook, self.count)

    def count(self, *_, **__):
        self.left -= 1
        if self.left == 0:
            self.act()

    def kill(self):
        raise Killed

    def get_state(self):
        return None


def plan():
    light = {"augment": "light", "class_weights": True}
    return recipe(
        quick("deep", epochs=2, **light),
        quick("mid", epochs=2, augment="strong", patience_epochs=1),
        quick("full", epochs=1, batch_norm="train", learning_rate=0.003, **light),
        seed=3,
    )


def go(folder, callback=None, seed=1, **options):
    model = tiny(seed, dropout=0.3)
    options = {"recipe": plan(), "callbacks": [callback or Kill()], "checkpoint_seconds": 0, "verbose": 0, **options}
    return kertl.fine_tune(model, squares(), run_dir=folder, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return go(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.promise
@pytest.mark.slow
def test_checkpoints_do_not_change_what_is_trained(undisturbed):
    assert digest(go(None).model) == digest(undisturbed.model)


@pytest.mark.promise
@pytest.mark.parametrize(
    ("hooks", "calls"),
    [
        (["on_train_batch_end"], 3),
        pytest.param(["on_train_batch_begin", "on_test_begin", "on_epoch_end"], 4, marks=pytest.mark.slow),
        pytest.param(
            ["on_train_begin", "on_epoch_begin", "on_test_batch_end", "on_train_end"], 5, marks=pytest.mark.slow
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path, undisturbed, hooks, calls):
    kills, random = 0, np.random.default_rng(0)
    while True:
        try:  # another head each time: the weights are those of the checkpoint
            run = go(tmp_path, Kill(hooks, at=int(random.integers(calls, calls + 3))), seed=kills + 1)
            break
        except Killed:
            kills += 1
            assert kills < 40
    assert kills >= 4
    assert digest(run.model) == digest(undisturbed.model)
    assert run.history == undisturbed.history
    assert run.metrics == undisturbed.metrics
    assert digest(kertl.load(tmp_path / "model.keras")) == digest(undisturbed.model)


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "at"),
    [
        ("on_train_batch_end", 4),
        promised("on_test_batch_end", 1),
        promised("on_epoch_end", 2),
        promised("on_train_begin", 2),
    ],
)
def test_ctrl_c_writes_a_checkpoint_and_leaves_with_a_message(tmp_path, undisturbed, monkeypatch, caplog, hook, at):
    monkeypatch.setattr(_journal, "_SHARE", 1e9)  # however slow the disk is, an epoch ends with a checkpoint
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    asked = Kill([hook], at, act=send(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, asked, checkpoint_seconds=1e6)
    (newest,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert_names(caplog.records[-1].getMessage(), "SIGINT", repr(newest.name))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert kertl.load(tmp_path / "model.keras").output_shape == (None, 3)
    assert not (tmp_path / "metrics.json").exists()
    batches = Kill(["on_train_batch_end"], act=lambda: None)
    assert digest(go(tmp_path, batches).model) == digest(undisturbed.model)
    done = {"on_train_batch_end": 4, "on_test_batch_end": 3, "on_epoch_end": 6, "on_train_begin": 6}[hook]
    again = 1 if hook in ("on_train_batch_end", "on_test_batch_end") else 0
    assert -batches.left == 15 - done + again, "nothing but the last batch is trained twice"


@pytest.mark.promise
@pytest.mark.slow
def test_sigterm_writes_a_checkpoint_and_ends_with_status_143(tmp_path, undisturbed, caplog):
    with pytest.raises(SystemExit) as caught:
        go(tmp_path, Kill(["on_train_batch_end"], 8, act=send(signal.SIGTERM)), checkpoint_seconds=1e6)
    assert caught.value.code == 143
    (newest,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert_names(caplog.text, "SIGTERM", repr(newest.name))
    assert digest(go(tmp_path).model) == digest(undisturbed.model)


def test_a_second_ctrl_c_leaves_at_once(tmp_path, caplog):
    def twice():
        send(signal.SIGINT)()
        send(signal.SIGINT)()

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, Kill(["on_train_batch_end"], 2, act=twice), checkpoint_seconds=1e6)
    assert "SIGINT" not in caplog.text
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1, "only that of the stage's beginning"


def test_after_a_first_sigterm_a_second_one_is_left_to_the_system(tmp_path):
    class Look(Kill):
        def on_train_batch_begin(self, batch, logs=None):
            send(signal.SIGTERM)()
            seen.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))

    seen = []
    with pytest.raises(SystemExit):
        go(tmp_path, Look())
    assert seen == [(signal.SIG_DFL, signal.default_int_handler)]


@pytest.mark.promise
@pytest.mark.slow
def test_a_signal_while_nothing_trains_leaves_without_waiting(tmp_path, undisturbed, monkeypatch, caplog):
    monkeypatch.setattr(_fine_tune, "evaluate", lambda *_, **__: send(signal.SIGINT)())
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    (newest,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert_names(caplog.records[-1].getMessage(), "SIGINT", repr(newest.name))
    monkeypatch.undo()
    assert digest(go(tmp_path).model) == digest(undisturbed.model)


@pytest.mark.parametrize(
    ("number", "left_by"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_that_compiled_code_turns_into_another_error_still_ends_the_run(
    tmp_path, monkeypatch, number, left_by
):
    def compiled(*_, **__):
        try:
            send(number)()
        except BaseException:
            raise TypeError("a result with an exception set") from None

    monkeypatch.setattr(_fine_tune, "evaluate", compiled)
    with pytest.raises(left_by):
        go(tmp_path, recipe=recipe("deep"))


def test_without_a_directory_signals_are_nobody_elses(monkeypatch):
    seen = []
    look = Kill(["on_train_begin"], 1, act=lambda: seen.append(signal.getsignal(signal.SIGINT)))
    go(None, look, recipe=recipe("deep"))
    assert seen == [signal.getsignal(signal.SIGINT)]


class Halve(keras.callbacks.Callback):
    """Halves the rate at each third batch of the run, whatever the epochs; remembers how many it has seen."""

    def __init__(self):
        super().__init__()
        self.seen = np.zeros(1, "int64")

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen[0] % 3 == 0:
            self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"].copy()


@pytest.mark.promise
@pytest.mark.slow
def test_keras_callbacks_and_those_with_a_state_of_their_own_go_on(tmp_path):
    stage = quick(epochs=8, schedule="constant", learning_rate=0.02)

    def callbacks(kill, folder):
        return [
            Halve(),
            keras.callbacks.EarlyStopping("val_accuracy", patience=3, min_delta=0.2, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_accuracy", patience=1, min_delta=0.5, cooldown=1, factor=0.5),
            keras.callbacks.ModelCheckpoint(folder / "{epoch}.weights.h5", save_weights_only=True, save_freq=4),
            keras.callbacks.ModelCheckpoint(folder / "best.keras", monitor="val_loss", save_best_only=True),
            kill,
        ]

    def train(folder, kill):
        folder.mkdir(exist_ok=True)
        return go(folder / "run", recipe=recipe(stage), callbacks=callbacks(kill, folder))

    whole = train(tmp_path / "whole", Kill())
    epochs = len(whole.history["epoch"])
    assert epochs < 8, "early stopping must have stopped it"
    assert len(set(whole.history["learning_rate"])) > 2
    broken, kills, random = tmp_path / "broken", 0, np.random.default_rng(1)
    while True:
        try:
            run = train(broken, Kill(["on_train_batch_end", "on_epoch_end"], at=int(random.integers(3, 7))))
            break
        except Killed:
            kills += 1
            assert kills < 20
    assert kills >= 3
    assert run.history == whole.history
    assert digest(run.model) == digest(whole.model)
    files = {path.name for path in (tmp_path / "whole").glob("*.weights.h5")}
    assert {path.name for path in broken.glob("*.weights.h5")} == files
    assert digest(kertl.load(broken / "best.keras")) == digest(kertl.load(tmp_path / "whole" / "best.keras"))


def test_other_callbacks_than_before_are_refused(tmp_path):
    with pytest.raises(Killed):
        go(tmp_path, Kill(["on_train_batch_end"], 3))
    with pytest.raises(kertl.errors.RunError) as caught:
        go(tmp_path, callbacks=[])
    assert_names(caught.value, "`callbacks`", "`run_dir`", "['Kill']", "[]")


def test_a_callback_whose_memory_would_be_lost_is_named(caplog):
    class Counts(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.count = 0

    go(None, callbacks=[Counts(), keras.callbacks.TerminateOnNaN(), Kill()], recipe=recipe("deep"))
    (said,) = [record.getMessage() for record in caplog.records if "get_state" in record.getMessage()]
    assert_names(said, "Counts", "get_state()", "set_state(state)")


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_goes_on_with_a_word_on_where(tmp_path, caplog):
    with pytest.raises(Killed):
        go(tmp_path, Kill(["on_train_batch_end"], 6))
    caplog.clear()
    go(tmp_path)
    assert_names(caplog.text, tmp_path, "stage 1", "1 epoch", "2 batches")


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_the_loss_scale_of_half_precision_goes_on_too(tmp_path, precision):
    stages = recipe(quick(epochs=2, augment="light"), quick("mid"), precision=precision)
    whole = go(None, recipe=stages)
    with pytest.raises(Killed):
        go(tmp_path, Kill(["on_train_batch_end"], 5), recipe=stages)
    assert digest(go(tmp_path, recipe=stages).model) == digest(whole.model)
