import io
import json
import logging
import os
import re
import signal
import subprocess
import sys

import keras
import keras_tuner
import pytest
from rich.console import Console

import kertl
from kertl.errors import RunError
from kertl.search import SearchResult, TransferHyperModel, Trial, read, tune
from kertl.search._live import table
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import REPOSITORY, squares
from tests.search.spaces import backbone, fixed, heads, stage


@pytest.fixture(scope="module")
def data():
    return squares()


def search(data, out, **options):
    return tune(
        data,
        **{
            "backbones": [backbone()],
            "space": heads,
            "max_trials": 3,
            "epochs": 1,
            "out": out,
            "confirm": 0,
            **options,
        },
    )


def told(found):
    """What can be repeated of a search: each trial with its values and its objective."""
    return {trial.name: (trial.values, trial.value) for trial in found.trials}


@pytest.fixture
def trained(monkeypatch):
    """The trials that are trained, by the values of their hyperparameters; nothing is, but a metric is given."""
    trained = []

    def fit(self, hp, model, *, callbacks, epochs, **options):
        trained.append(dict(hp.values))
        figures = {"val_accuracy": hp.values["learning_rate"] * hp.values["units"] + epochs / 100}
        for callback in (one for one in callbacks if hasattr(one, "objective")):  # it writes the checkpoint
            callback.set_model(model)
            callback.on_epoch_end(0, figures)
        return figures

    def build(self, hp):
        self.candidate(hp)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    monkeypatch.setattr(TransferHyperModel, "fit", fit)
    monkeypatch.setattr(TransferHyperModel, "build", build)
    return trained


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("strategy", some_of(["random", "grid", "bayesian", "hyperband"], "random"))
def test_a_search_that_goes_on_makes_the_trials_of_one_that_was_not_stopped(strategy, data, tmp_path, trained):
    options = {"strategy": strategy, "epochs": 2 if strategy == "hyperband" else 1}
    whole = search(data, tmp_path / "whole", max_trials=5, **options)
    trained.clear()
    search(data, tmp_path / "parts", max_trials=2, **options)
    search(data, tmp_path / "parts", max_trials=4, **options)
    parts = search(data, tmp_path / "parts", max_trials=5, **options)
    assert len(trained) == len(parts.completed) == 5
    assert told(parts) == told(whole)


def test_the_result_is_a_leaderboard_and_what_fine_tune_takes(data, tmp_path, capsys):
    found = search(data, tmp_path, max_trials=5, epochs=2, verbose=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" trials")[0] for line in lines] == [f"{number} of at most 5" for number in range(1, 6)]
    assert f"best {found.completed[0].value:.4f} in trial {found.completed[0].name}. Trial 4: val_accuracy" in lines[-1]
    scores = [trial.value for trial in found.trials]
    assert scores == sorted(scores, reverse=True)
    assert f"{scores[0]:.4f}" in found.table()
    assert json.loads((tmp_path / "leaderboard.json").read_text())["trials"][0]["value"] == scores[0]
    importance = found.importance()
    assert set(importance.names) <= {"learning_rate", "units", "dropout"}
    assert (tmp_path / "importance.png").stat().st_size > 10_000
    assert found.recipe.stages[0].epochs == 2
    keras.utils.set_random_seed(0)
    model = kertl.build(backbone(), class_names=data.class_names, head=found.head)
    run = kertl.fine_tune(model, data, recipe=found.recipe, verbose=0)
    assert 0 <= run.metrics["test"]["accuracy"] <= 1
    assert told(read(tmp_path)) == told(found)


def test_a_running_search_shows_its_trials_the_best_so_far_and_the_time_left(tmp_path):
    values = {"backbone": "ResNet50", "units": 8}
    trials = [
        Trial("2", values, "RUNNING", None, None, None, ""),
        Trial("1", values, "FAILED", None, None, 50.0, "no room"),
        Trial("0", values, "COMPLETED", 0.25, None, 150.0, ""),
        Trial("3", {**values, "units": 16}, "COMPLETED", 0.125, None, 100.0, ""),
    ]
    found = SearchResult(tuple(trials), "val_loss", "min", tmp_path)
    console = Console(file=io.StringIO(), width=100)
    console.print(table(found, 5, 30.0))
    shown = re.sub(r"[^\S\n]+", " ", re.sub(r"[│┃]", "", console.file.getvalue()))
    assert "3 of at most 5 trials, 30 s, about 3 min left" in shown
    rows = [line.strip() for line in shown.splitlines() if re.match(r" \d ", line)]
    assert rows == [
        "0 0.2500 0.2500 150.0 units=8",
        "1 failed 0.2500 50.0 no room",
        "2 running 0.2500 units=8",
        "3 0.1250 0.1250 100.0 units=16",
    ]


@pytest.mark.promise
@pytest.mark.slow
def test_hyperparameters_and_figures_are_written_for_tensorboard(data, tmp_path):
    search(data, tmp_path, max_trials=1)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("tensorboard/0/execution0/**/*tfevents*"))
    assert b"_hparams_/session_start_info" in written
    assert b"learning_rate" in written
    assert b"epoch_accuracy" in written


def test_only_the_best_checkpoints_are_kept(data, tmp_path, trained):
    found = search(data, tmp_path, max_trials=5, keep_checkpoints=2)
    kept = {path.parent.name for path in tmp_path.glob("trial_*/checkpoint.weights.h5")}
    assert len(kept) == 2
    worse = sorted(trial.value for trial in found.trials)[:3]
    values = {f"trial_{trial.name}": trial.value for trial in found.trials}
    assert min(values[name] for name in kept) >= max(worse)


@pytest.mark.promise
@pytest.mark.slow
def test_a_trial_that_fails_says_why_and_the_search_goes_on(data, tmp_path, monkeypatch, capsys):
    build, calls = TransferHyperModel.build, []

    def failing(self, hp):
        calls.append(hp)
        if len(calls) == 1:
            raise MemoryError("no room\nfor the model")
        return build(self, hp)

    monkeypatch.setattr(TransferHyperModel, "build", failing)
    found = search(data, tmp_path, max_trials=2)
    assert [trial.status for trial in found.trials] == ["COMPLETED", "FAILED"]
    assert found.trials[1].reason == "MemoryError: no room for the model"
    assert_names(found.table(), "Trial 0", found.trials[1].reason)
    assert "Traceback" not in capsys.readouterr().err
    assert "Traceback" in json.loads((tmp_path / "trial_0" / "trial.json").read_text())["message"]


@pytest.mark.promise
@pytest.mark.slow
def test_ten_failures_in_a_row_stop_a_search_that_then_may_go_on(data, tmp_path, trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(TransferHyperModel, "build", lambda self, hp: 1 / 0)
        with pytest.raises(RunError, match=r"10 trials .*ZeroDivisionError: division by zero"):
            search(data, tmp_path, max_trials=12)
    assert len(read(tmp_path).trials) == 10
    found = search(data, tmp_path, max_trials=11)
    assert [trial.status for trial in found.trials] == ["COMPLETED"] + ["FAILED"] * 10


@pytest.mark.promise
@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_reason(data, tmp_path):
    found = search(data, tmp_path, max_trials=1, space=fixed(stage("deep", 1e30, optimizer="sgd")))
    assert_names(found.trials[0].reason, "stage 1 (at='deep')", "epoch 1")
    with pytest.raises(RunError, match=r"No trial in .* has a value yet"):
        _ = found.best


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("content", some_of(['{"trial_id": "1", "hyper', "{}", "[" * 100_000], "[" * 100_000))
@pytest.mark.parametrize("damaged", some_of(["trial_1/trial.json", "oracle.json"], "oracle.json"))
def test_a_damaged_file_is_named_and_the_others_are_kept(damaged, content, data, tmp_path, trained, caplog):
    before = search(data, tmp_path, max_trials=3)
    (tmp_path / damaged).write_text(content)
    trained.clear()
    with caplog.at_level(logging.WARNING):
        after = search(data, tmp_path, max_trials=4)
    assert f"{damaged} is damaged" in caplog.text
    again = 1 if damaged.startswith("trial") else 0
    assert len(trained) == 1 + again
    assert {name: told(after)[name] for name in told(before)} == told(before)


@pytest.mark.promise
@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_with_the_same_trials(data, tmp_path):
    code = "import sys; from tests.search.test_tune import killed; killed(sys.argv[1])"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], cwd=REPOSITORY, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [trial.status for trial in read(tmp_path / "killed").trials].count("COMPLETED") == 1
    written = (tmp_path / "killed" / "trial_0" / "trial.json").stat().st_mtime_ns
    found = search(data, tmp_path / "killed", max_trials=2)
    assert (tmp_path / "killed" / "trial_0" / "trial.json").stat().st_mtime_ns == written
    assert told(found) == told(search(data, tmp_path / "whole", max_trials=2))


def killed(folder):
    """A search whose process ends in the middle of its second trial."""
    fit, calls = TransferHyperModel.fit, []

    def dying(self, hp, model, **options):
        calls.append(hp)
        result = fit(self, hp, model, **options)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    TransferHyperModel.fit = dying
    search(squares(), folder, max_trials=2)


@pytest.mark.promise
@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(data, tmp_path, trained, monkeypatch, caplog):
    fit = TransferHyperModel.fit

    def interrupted(self, hp, model, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        return fit(self, hp, model, **options)

    monkeypatch.setattr(TransferHyperModel, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(data, tmp_path)
    assert_names(caplog.text, "2 trials", tmp_path)
    monkeypatch.setattr(TransferHyperModel, "fit", fit)
    assert len(search(data, tmp_path).completed) == len(trained) == 3


@pytest.mark.promise
@pytest.mark.slow
def test_the_best_are_trained_again_and_ranked_by_that(data, tmp_path, monkeypatch):
    fit, luck, made = TransferHyperModel.fit, {}, []

    def lucky(self, hp, model, **options):
        result = fit(self, hp, model, **options)
        made.append((self.seed, hp.values["learning_rate"], hp.values["units"]))
        first = luck.setdefault(made[-1][1:], 0.9 - len(luck) / 10)
        result.history["val_accuracy"] = [first if self.seed == 0 else 0.5 - first / 5 + self.seed / 100]
        return result

    monkeypatch.setattr(TransferHyperModel, "fit", lucky)
    found = search(data, tmp_path, max_trials=4)
    assert [trial.name for trial in found.trials] == ["0", "1", "2", "3"]
    made.clear()
    found = search(data, tmp_path, max_trials=4, confirm=2)
    assert [seed for seed, *_ in made] == [1, 2, 3, 1, 2, 3]
    assert [trial.name for trial in found.trials] == ["1", "0", "2", "3"]
    assert found.trials[0].again == pytest.approx((0.35, 0.36, 0.37))
    assert "0.3600 ± 0.0100" in found.table()
    assert found.best == found.candidate("1")
    made.clear()
    assert told(search(data, tmp_path, max_trials=4, confirm=2)) == told(found)
    assert made == []
    (tmp_path / "trial_0" / "again.json").write_text("[0.3")
    assert search(data, tmp_path, max_trials=4, confirm=2).trials[1].again == pytest.approx((0.33, 0.34, 0.35))


@pytest.mark.promise
@pytest.mark.slow
def test_a_trial_that_fails_when_it_is_trained_again_comes_last(data, tmp_path, monkeypatch, caplog):
    fit = TransferHyperModel.fit

    def failing(self, hp, model, **options):
        if self.seed == 2:
            raise MemoryError("no room")
        return fit(self, hp, model, **options)

    monkeypatch.setattr(TransferHyperModel, "fit", failing)
    found = search(data, tmp_path, max_trials=2, confirm=1)
    assert [len(trial.again) for trial in found.trials] == [0, 3]
    assert found.trials[1].again[1] is None
    assert found.trials[1].confirmed is None
    assert_names(caplog.text, f"Trial {found.trials[1].name}", "MemoryError: no room")


@pytest.mark.promise
@pytest.mark.slow
def test_the_mean_over_folds_may_be_the_objective(data, tmp_path):
    found = search(data, tmp_path, max_trials=2, folds=3, objective="val_loss")
    assert found.direction == "min"
    assert all(trial.standard_deviation >= 0 for trial in found.trials)
    assert found.trials[0].value <= found.trials[1].value


def test_another_search_in_the_folder_is_refused(data, tmp_path, trained):
    search(data, tmp_path, max_trials=1, strategy="grid")
    with pytest.raises(RunError, match=r"epochs: 1 there, 2 here.*`out`"):
        search(data, tmp_path, strategy="grid", epochs=2)
    other = backbone()
    other.set_weights([weight * 2 for weight in other.get_weights()])
    with pytest.raises(RunError, match=r"holds another search.*weights"):
        search(data, tmp_path, strategy="grid", backbones=[other])
    with pytest.raises(RunError, match=r"holds another search.*space"):
        search(data, tmp_path, strategy="grid", space=fixed(stage("deep")))
    settings = json.loads((tmp_path / "search.json").read_text())
    unsaid = {name: value for name, value in settings.items() if name not in ("weights", "space")}
    (tmp_path / "search.json").write_text(json.dumps(unsaid))  # as searches of earlier versions have it
    with pytest.raises(RunError, match="holds another search"):
        search(data, tmp_path, strategy="grid", epochs=2)
    assert json.loads((tmp_path / "search.json").read_text()) == unsaid, "what is refused writes nothing"
    assert len(search(data, tmp_path, strategy="grid", max_trials=2).trials) == 2
    assert json.loads((tmp_path / "search.json").read_text()) == settings


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            {"objective": keras_tuner.Objective("val_accuracy", "maximize")},
            ("`objective`", "keras_tuner.Objective", "'min' or 'max'"),
        ),
        ({"objective": "val_acuracy"}, ("'val_acuracy'", "Did you mean 'val_accuracy'")),
        ({"strategy": "best"}, ("`strategy`", "'hyperband'", "strategy='best'")),
        ({"strategy": "hyperband", "folds": 3}, ("`folds`", "strategy='hyperband'", "folds=3")),
        ({"max_trials": 0}, ("`max_trials`", ">= 1", "max_trials=0")),
        ({"backbones": []}, ("`backbones`", "backbones=[]")),
        ({"space": {"learning_rate": [0.1]}}, ("`space`", "a function of hyperparameters")),
    ],
)
def test_wrong_arguments_are_named(options, named, data, tmp_path):
    with pytest.raises(ValueError, match="must be") as caught:
        search(data, tmp_path, **options)
    assert_names(caught.value, *named)
    assert not (tmp_path / "oracle.json").exists()


def test_a_folder_without_a_search_is_named(tmp_path):
    with pytest.raises(RunError, match="must hold a search"):
        read(tmp_path)


TRIAL = {
    "trial_id": "0",
    "status": "COMPLETED",
    "score": 0.5,
    "message": None,
    "metrics": {"metrics": {}},
    "hyperparameters": {"values": {"units": 4}},
}


def folder_of(path, **trials):
    """The folder of a search whose trial files hold the given texts, or those of `TRIAL` with changes."""
    (path / "search.json").write_text('{"objective": "val_accuracy", "direction": "max"}')
    for name, content in trials.items():
        (path / name).mkdir()
        text = content if isinstance(content, str) else json.dumps({**TRIAL, **content})
        (path / name / "trial.json").write_text(text)
    return path


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[" * 100_000,
        "[" * 5000 + "]" * 5000,
        " " * 2**24 + "{}",
        {"trial_id": "1"},
        {"score": "high"},
        {"metrics": []},
        {"message": " ", "status": "FAILED"},
        {"message": 3, "status": "FAILED"},
        {"hyperparameters": {"values": 3}},
    ],
)
def test_a_trial_that_cannot_be_read_is_left_out_of_what_was_found(tmp_path, damaged):
    found = read(folder_of(tmp_path, trial_0=damaged, trial_1={"trial_id": "1"}))
    assert [(trial.name, trial.value) for trial in found.trials] == [("1", 0.5)]


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, " " * 2**24 + "{}"])
def test_settings_of_a_search_that_cannot_be_read_are_named(data, tmp_path, content):
    (folder_of(tmp_path) / "search.json").write_text(content)
    for call in (lambda: read(tmp_path), lambda: search(data, tmp_path)):
        with pytest.raises(RunError) as caught:
            call()
        assert_names(caught.value, "search.json")


def test_a_file_in_the_place_of_the_folder_is_named(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file/search\.json' .*Not a directory"):
        search(data, tmp_path / "file")
