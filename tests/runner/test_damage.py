"""Every file of a run directory missing, empty, cut short or replaced by garbage: the run ends the same, or says so."""

import re
import shutil
import zipfile

import keras
import numpy as np
import pytest

import kertl
from kertl.errors import RunError, WeightsError
from kertl.runner import _stage, read_run
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import digest, quick, recipe, squares, tiny

RECIPE = recipe(quick("mid", epochs=3, cache=True, l2_sp=0.1, weight_decay=0.0))
DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
}
DESCRIPTION = ("recipe.json", "data.csv", "data.json", "model.json")
TOLD_AGAIN = ("environment.json", "history.csv", "model.keras")
RESULTS = ("history.csv", "metrics.json", "model.keras", "SHA256SUMS")


class Stop(keras.callbacks.Callback):
    """Interrupts the second epoch, after a checkpoint in it; later it lets the run go on."""

    armed = False

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and self.armed:
            raise KeyboardInterrupt


def go(folder, model=None, armed=False):
    stop = Stop()
    stop.armed = armed
    options = {"recipe": RECIPE, "callbacks": [stop], "checkpoint_seconds": 0, "verbose": 0}
    return kertl.fine_tune(model or tiny(), squares(), run_dir=folder, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run."""
    return go(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The directory of a run of which two epochs are done."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(KeyboardInterrupt):
        go(folder, armed=True)
    return folder


@pytest.fixture(scope="module")
def model():
    """One that no test trains, since all of them end before."""
    return tiny()


def cases(folder, name, target):
    """A copy of a run directory for each way in which one file can be damaged."""
    for how, damage in DAMAGES.items():
        copy = target / how
        shutil.copytree(folder, copy)
        damage(next(copy.glob(name)))
        yield how, copy


def same(run, whole):
    return digest(run.model) == digest(whole.model) and run.history == whole.history and run.metrics == whole.metrics


def test_the_files_here_are_those_of_a_run(whole, interrupted):
    names = {*DESCRIPTION, "environment.json", "choices.json", "start.npz", ".lock", "checkpoints", "features"}
    names.add("tensorboard")
    assert {path.name for path in whole.run_dir.iterdir()} == {*names, *RESULTS}
    assert {path.name for path in interrupted.iterdir()} == {*names, "history.csv", "model.keras"}


@pytest.mark.parametrize("name", DESCRIPTION)
@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_a_run_whose_description_is_damaged_is_neither_read_nor_resumed(tmp_path, request, model, state, name):
    folder = request.getfixturevalue("whole").run_dir if state == "finished" else request.getfixturevalue(state)
    for how, copy in cases(folder, name, tmp_path):
        with pytest.raises(RunError) as caught:
            go(copy, model)
        assert_names(caught.value, "`run_dir`", repr(str(copy)), name, "Restore" if how == "missing" else "differs")


def test_a_description_that_is_huge_is_not_read(tmp_path, interrupted, model):
    shutil.copytree(interrupted, tmp_path / "run")
    with (tmp_path / "run" / "data.csv").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(RunError, match=r"data\.csv differs:\n  it has 1,099,511,627,776 bytes"):
        go(tmp_path / "run", model)


@pytest.mark.parametrize("name", RESULTS)
def test_results_that_changed_are_not_read_as_true(tmp_path, whole, model, name):
    for how, copy in cases(whole.run_dir, name, tmp_path):
        if how != "missing":  # it is resumed from its last checkpoint
            with pytest.raises(RunError) as caught:
                go(copy, model)
            assert_names(caught.value, repr(str(copy / name)), "Remove it", "resumes")


@pytest.mark.parametrize("name", ["history.csv", "metrics.json"])
def test_a_changed_digit_in_the_results_is_found(tmp_path, whole, model, name):
    shutil.copytree(whole.run_dir, tmp_path / "run")
    path = tmp_path / "run" / name
    before = path.read_text()
    path.write_text(re.sub(r"0\.(\d)", lambda found: f"0.{(int(found[1]) + 1) % 10}", before, count=1))
    assert len(path.read_text()) == len(before)
    with pytest.raises(RunError) as caught:
        go(tmp_path / "run", model)
    assert_names(caught.value, repr(str(path)), "SHA-256", "SHA256SUMS")


def test_what_is_missing_or_cut_off_is_told_with_what_helps(tmp_path, whole):
    run = shutil.copytree(whole.run_dir, tmp_path / "run")
    model = run / "model.keras"
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"Restore it, since it is damaged\. \[damaged\]$"):
        kertl.load(run)
    with zipfile.ZipFile(model, "w") as file:
        file.writestr("metadata.json", "{}")
    with pytest.raises(WeightsError, match="if you changed it, pass the file itself"):
        kertl.load(run)
    model.unlink()
    with pytest.raises(RunError, match=r"without its model\.keras\. Restore what is missing"):
        read_run(run)


@pytest.mark.parametrize("name", some_of(RESULTS, "history.csv"))
def test_results_that_are_removed_are_written_again(tmp_path, whole, name):
    shutil.copytree(whole.run_dir, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    assert same(go(tmp_path / "run"), whole)
    for one in RESULTS[:2]:
        assert (tmp_path / "run" / one).read_bytes() == (whole.run_dir / one).read_bytes()


def test_what_a_finished_run_no_longer_needs_may_be_damaged(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(_stage.StageRunner, "train", lambda *_, **__: pytest.fail("a stage began"))
    shutil.copytree(whole.run_dir, tmp_path / "run")
    for name in ("environment.json", "choices.json", "start.npz", "checkpoints/*"):
        DAMAGES["garbage"](next((tmp_path / "run").glob(name)))
    assert same(go(tmp_path / "run"), whole)


def test_results_without_any_checkpoint_are_not_trained_afresh(tmp_path, whole, model):
    shutil.copytree(whole.run_dir, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "history.csv").unlink()
    with pytest.raises(RunError) as caught:
        go(tmp_path / "run", model)
    assert_names(caught.value, "metrics.json", "checkpoints/")


@pytest.mark.parametrize("name", ["choices.json", "start.npz"])
def test_what_an_interrupted_run_goes_on_with_is_named_where_it_is_damaged(tmp_path, interrupted, model, name):
    for how, copy in cases(interrupted, name, tmp_path):
        if (name, how) != ("choices.json", "missing"):
            with pytest.raises(RunError) as caught:
                go(copy, model)
            assert_names(caught.value, repr(str(copy / name)), "Remove it" if name == "choices.json" else "Restore it")


@pytest.mark.parametrize("content", ["[]", '{"0": 5}', "[" * 100_000])
def test_choices_of_another_form_are_refused(tmp_path, interrupted, model, content):
    shutil.copytree(interrupted, tmp_path / "run")
    (tmp_path / "run" / "choices.json").write_text(content)
    with pytest.raises(RunError, match=r"choices\.json' must hold"):
        go(tmp_path / "run", model)


def test_weights_of_another_model_are_not_those_of_the_beginning(tmp_path, interrupted, model):
    shutil.copytree(interrupted, tmp_path / "run")
    np.savez(tmp_path / "run" / "start.npz", **{"0": np.zeros(3)})
    with pytest.raises(RunError, match=r"start\.npz' must hold .* 1 arrays"):
        go(tmp_path / "run", model)


@pytest.mark.parametrize(
    "case",
    some_of(
        [
            ("choices.json", "missing"),
            *((name, how) for name in TOLD_AGAIN for how in DAMAGES),
            *(("checkpoints/checkpoint-*", how) for how in DAMAGES),
        ],
        ("choices.json", "missing"),
        ("history.csv", "garbage"),
        late=[(name, how) for name in TOLD_AGAIN for how in ("empty", "truncated")],
    ),
)
def test_an_interrupted_run_goes_on_to_the_same_end_without(tmp_path, interrupted, whole, case):
    name, how = case
    shutil.copytree(interrupted, tmp_path / "run")
    DAMAGES[how](max((tmp_path / "run").glob(name)))
    assert same(go(tmp_path / "run"), whole)
    assert (tmp_path / "run" / "choices.json").read_bytes() == (whole.run_dir / "choices.json").read_bytes()


def test_the_model_of_a_damaged_run_is_not_loaded(tmp_path, whole):
    for _, copy in cases(whole.run_dir, "model.keras", tmp_path):
        with pytest.raises(WeightsError) as caught:
            kertl.load(copy)
        assert str(copy) in str(caught.value)


def test_the_model_of_a_run_is_loaded_only_if_it_is_the_one_that_was_written(whole, tmp_path):
    copied = shutil.copytree(whole.run_dir, tmp_path / "run")
    kertl.load(copied)
    other = kertl.load(copied)
    other.set_weights([weight + 1 for weight in other.get_weights()])
    kertl.save(other, copied / "model.keras")
    with pytest.raises(WeightsError, match="SHA256SUMS"):
        kertl.load(copied)
    assert kertl.load(copied / "model.keras").name == other.name
