"""What can go wrong around a training: full disks, two processes, damaged files, kills, too little memory."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import kertl
from kertl.runner import _stage
from tests.backbones.kinds import SLOW
from tests.families import Silent
from tests.messages import assert_names
from tests.runner.resumable import draw
from tests.runs import digest, python, quick, recipe, squares, tiny

REPOSITORY = Path(__file__).parents[2]
DEEP = recipe(quick("deep", epochs=2))


def go(folder, model=None, data=None, **options):
    return kertl.fine_tune(
        model or tiny(), data or squares(), run_dir=folder, **{"recipe": DEEP, "verbose": 0, **options}
    )


def broken_off(folder, **options):
    """A run of which the first epoch is done."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if len(list((folder / "checkpoints").iterdir())) > 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(folder, callbacks=[Stop()], checkpoint_seconds=0, **options)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """The directory of a run that was interrupted; not to be written to."""
    folder = tmp_path_factory.mktemp("unfinished")
    broken_off(folder)
    return folder


@pytest.fixture
def untrained(monkeypatch):
    """Fails the test if a stage begins."""
    monkeypatch.setattr(_stage.StageRunner, "train", lambda *_, **__: pytest.fail("a stage began"))


@pytest.mark.usefixtures("untrained")
def test_images_that_changed_since_the_run_began_are_named(tmp_path):
    draw(tmp_path)
    options = {"image_size": (32, 32), "validation": 0.25, "test": 0.25}
    begun = kertl.data.from_csv(tmp_path / "labels.csv", **options)
    run_dir = tmp_path / "run"
    with pytest.raises(pytest.fail.Exception):
        go(run_dir, data=begun)
    (tmp_path / "images" / "red3.png").write_bytes((tmp_path / "images" / "red2.png").read_bytes())
    (tmp_path / "images" / "blue5.png").unlink()
    table = (tmp_path / "labels.csv").read_text()
    table = table.replace("images/blue5.png,blue\n", "").replace("green7.png,green", "green7.png,red")
    (tmp_path / "labels.csv").write_text(table)
    splits = "file,label,split\n" + "\n".join(
        f"{record.file},{record.label if 'green7' not in record.file else 'red'},{record.split}"
        for record in begun.records
        if "blue5" not in record.file
    )
    (tmp_path / "again.csv").write_text(splits)
    now = kertl.data.from_csv(tmp_path / "again.csv", split_column="split", **options)
    with pytest.raises(kertl.errors.RunError) as caught:
        go(run_dir, data=now)
    assert_names(caught.value, "`run_dir`", f"run_dir={str(run_dir)!r}", "data.csv", "'images/blue5.png' is gone")
    assert_names(caught.value, "'images/green7.png'", "'green' is now 'red'", "'images/red3.png'")
    assert str(caught.value).count("\n  'images/") == 3


@pytest.mark.usefixtures("untrained")
def test_batches_of_another_size_are_refused_with_the_difference(unfinished):
    with pytest.raises(kertl.errors.RunError, match=r"`run_dir` must be .*data\.json") as caught:
        go(unfinished, data=squares(batch_size=4))
    assert '\n  -  "batch_size": 8,\n  +  "batch_size": 4,\n' in str(caught.value)


@pytest.mark.usefixtures("untrained")
def test_another_model_is_refused_with_the_difference(unfinished):
    with pytest.raises(kertl.errors.RunError, match=r"`run_dir` must be .*model\.json") as caught:
        go(unfinished, tiny(dropout=0.2))
    assert re.search(r'\n  -\{"layer": "Dropout".* "rate": 0\.1,', str(caught.value))
    assert re.search(r'\n  \+\{"layer": "Dropout".* "rate": 0\.2,', str(caught.value))


@pytest.mark.usefixtures("untrained")
def test_other_pretrained_weights_are_refused(unfinished):
    model = tiny()
    first = model.get_layer("tiny").weights[0]
    first.assign(np.nextafter(np.array(first), 1, dtype="float32"))
    with pytest.raises(kertl.errors.RunError, match=r"`run_dir` must be .*model\.json") as caught:
        go(unfinished, model)
    assert str(caught.value).count("backbone_weights") == 2


@pytest.mark.usefixtures("untrained")
def test_a_history_without_a_checkpoint_does_not_begin_afresh_in_silence(tmp_path):
    (tmp_path / "history.csv").write_text("stage,at,epoch\n0,deep,1\n")
    with pytest.raises(kertl.errors.RunError) as caught:
        go(tmp_path)
    assert_names(caught.value, "`run_dir`", f"run_dir={str(tmp_path)!r}", "history.csv", "checkpoints/")


@pytest.mark.usefixtures("untrained")
def test_too_little_space_is_found_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("Usage", (), {"free": 900}))
    with pytest.raises(kertl.errors.RunError, match=r"`run_dir` must .* 0 MB .*, with 0 MB\."):
        go(tmp_path)


@pytest.mark.usefixtures("untrained")
def test_a_directory_that_cannot_be_made_is_found_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(kertl.errors.RunError) as caught:
        go(tmp_path / "file" / "run")
    assert_names(caught.value, "`run_dir`", f"run_dir={str(tmp_path / 'file' / 'run')!r}", "Not a directory")


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.usefixtures("untrained")
def test_a_second_process_in_the_same_directory_is_refused_and_a_dead_one_is_not(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom kertl.run_files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('locked', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(kertl.errors.RunError) as caught:
            go(tmp_path)
        other.kill()
    assert_names(caught.value, "`run_dir`", f"run_dir={str(tmp_path)!r}", f"process {other.pid}")
    with pytest.raises(pytest.fail.Exception, match="a stage began"):
        go(tmp_path)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / ".partial-abc-model.keras").write_text("half")
    go(tmp_path, recipe=recipe("deep"))
    assert not list(tmp_path.glob(".partial-*"))


def test_a_metric_that_does_not_exist_is_found_before_training(untrained):
    with pytest.raises(ValueError, match="EarlyStopping") as caught:
        go(None, callbacks=[keras.callbacks.EarlyStopping("val_acc")])
    assert_names(caught.value, "'val_acc'", "val_accuracy", "unknown-monitor")


def test_a_model_that_could_not_be_saved_is_refused_before_a_run_has_a_directory(tmp_path):
    inputs = keras.Input((32, 32, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(Silent(1 / 255)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(features))
    stage = recipe(quick("deep", cache=False))
    with pytest.raises(kertl.errors.ArgumentError) as caught:
        go(tmp_path / "run", model, recipe=stage)
    assert_names(caught.value, "`model`", "`get_config`", "`run_dir=`")
    assert not (tmp_path / "run").exists()
    assert np.isfinite(go(None, model, recipe=stage).history["loss"]).all()


@pytest.mark.filterwarnings("ignore:Layer .* unbuilt state")  # Keras, of a Swin that is put together from a file
@pytest.mark.filterwarnings("ignore:Layer 'attn' .of type WindowAttention. was passed an input with a mask")
def test_a_head_of_all_depths_on_a_backbone_whose_layers_do_not_load_alone_is_refused_and_one_of_the_last_is_not(
    tmp_path,
):
    kind = SLOW["hub Swin"]
    data, backbone = squares(side=kind.side), kind.load()
    deep = recipe(quick("deep", epochs=1))
    with pytest.raises(kertl.errors.ArgumentError) as caught:
        go(tmp_path / "all", kertl.build(backbone, num_classes=3, head=kertl.Head(depths="auto")), data, recipe=deep)
    assert_names(caught.value, "`model`", "kertl.Head(depths='last')")
    run = go(tmp_path / "last", kertl.build(backbone, num_classes=3), data, recipe=deep)
    again = kertl.load(tmp_path / "last")
    with pytest.raises(kertl.errors.ArgumentError) as caught:
        go(tmp_path / "mean", kertl.build(backbone, num_classes=3), data, recipe="best")
    assert_names(caught.value, "copied")
    assert not (tmp_path / "mean").exists()
    pictures = kind.images()
    assert np.allclose(again(pictures, training=False), run.model(pictures, training=False), atol=1e-6)


def test_a_callback_that_sets_the_rate_of_a_schedule_is_found_before_training(untrained):
    plan = recipe(quick(schedule="constant"), quick("mid", schedule="cosine"))
    with pytest.raises(ValueError, match="ReduceLROnPlateau") as caught:
        go(None, recipe=plan, callbacks=[keras.callbacks.ReduceLROnPlateau()])
    assert_names(caught.value, "stage 2 (at='mid')", "schedule='cosine'", "schedule='constant'", "rate-set-twice")


@pytest.mark.promise
@pytest.mark.slow
def test_an_image_that_vanishes_while_training_is_named_and_the_run_goes_on_when_it_is_back(tmp_path, caplog):
    draw(tmp_path)
    data = kertl.data.from_csv(tmp_path / "labels.csv", image_size=(32, 32), validation=0.25, test=0.25, batch_size=4)
    (first, *_) = [record.file for record in data.records if record.split == "train"]
    path = tmp_path / first

    class Vanish(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            path.rename(path.with_suffix(".away")) if epoch == 1 else None

    plan = recipe(quick("deep", epochs=4))
    with pytest.raises(kertl.errors.DataError, match=rf"{path.name}' .*No such file"):
        go(tmp_path / "run", data=data, recipe=plan, callbacks=[Vanish()], checkpoint_seconds=0)
    assert "'checkpoint-" in caplog.records[-1].getMessage()
    path.with_suffix(".away").rename(path)

    class Vanish(keras.callbacks.Callback):
        pass

    broken = go(tmp_path / "run", data=data, recipe=plan, callbacks=[Vanish()])
    assert digest(broken.model) == digest(go(None, data=data, recipe=plan).model)


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_that_diverged_leaves_the_checkpoint_from_before(tmp_path):
    wild = recipe(quick(epochs=2), quick("mid", learning_rate=1e30, optimizer="sgd", schedule="constant"))
    for _ in range(2):
        with pytest.raises(kertl.errors.DivergedError):
            go(tmp_path, recipe=wild, checkpoint_seconds=0)
        for path in (tmp_path / "checkpoints").iterdir():
            with np.load(path) as file:
                assert all(np.isfinite(file[name]).all() for name in file.files if file[name].dtype.kind == "f"), path


def test_every_run_file_is_replaced_and_never_written_in_place(tmp_path, monkeypatch):
    replaced, original = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: replaced.append(Path(to).name) or original(self, to))
    go(tmp_path)
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {".lock"}
    assert {name for name in written if "tfevents" not in name} <= set(replaced)


@pytest.mark.promise
@pytest.mark.slow
def test_a_full_disk_never_leaves_half_a_model(tmp_path):
    printed = python(
        f"""
        import resource
        from pathlib import Path
        import kertl
        from tests.runs import classifier, digest
        path = Path({str(tmp_path / "model.keras")!r})
        model, other = classifier(1), classifier(2)
        kertl.save(model, path)
        size = path.stat().st_size
        for limit in range(0, size, size // 25):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                kertl.save(other, path)
            except kertl.errors.RunError as error:
                message = str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert "model.keras' cannot be written: " in message, message
            assert [file.name for file in path.parent.iterdir()] == ["model.keras"]
            assert digest(kertl.load(path)) == digest(model)
        kertl.save(other, path)
        assert digest(kertl.load(path)) == digest(other)
        print("checked")
        """
    )
    assert printed.endswith("checked\n")


def child(folder, seconds=0, limit=None, **environment):
    """Starts `tests.runner.resumable`."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    command = [sys.executable, "-m", "tests.runner.resumable", str(folder), str(seconds)]
    if limit:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        command[1:3] = ["-c", f"{code} from tests.runner.resumable import main; main({str(folder)!r})"]
        command = command[:3]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    """Status, standard output and error of a process, when it has ended."""
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def end(tmp_path_factory):
    """The digest that an undisturbed run of `resumable` prints."""
    folder = tmp_path_factory.mktemp("undisturbed")
    draw(folder)
    status, output, errors = ended(child(folder))
    assert status == 0, errors
    return output.split()[-1]


@pytest.mark.slow
@pytest.mark.promise
def test_a_full_disk_in_training_leaves_the_last_checkpoint_and_names_it(tmp_path, end):
    draw(tmp_path)
    # The checkpoints of the first stage fit, those of later stages with more moments do not.
    status, _, errors = ended(child(tmp_path, limit=110_000))
    assert status == 1
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1].name
    assert_names(errors.splitlines()[-1], repr(newest), "File too large")
    assert not list((tmp_path / "run").rglob(".partial-*"))
    status, output, errors = ended(child(tmp_path))
    assert status == 0, errors
    assert output.split()[-1] == end


# Where a process may die in writing: beginning, early, at the end of the run.
CRASHES = [
    "fsync:-checkpoint-:before:9",
    "fsync:-checkpoint-:after:30",
    "replace:-checkpoint-:before:1",
    "replace:-checkpoint-:after:17",
    "unlink:checkpoint-:after:12",
    "replace:-history.csv:before:5",
    "replace:-history.csv:after:8",
    "fsync:-model.keras:before:1",
    "replace:-model.keras:after:1",
    "replace:-metrics.json:before:1",
    "replace:-metrics.json:after:1",
    "replace:-SHA256SUMS:before:1",
]


@pytest.mark.slow
@pytest.mark.parametrize("moment", CRASHES)
def test_a_process_that_dies_while_writing_goes_on_to_the_same_bits(tmp_path, end, moment):
    draw(tmp_path)
    status, output, errors = ended(child(tmp_path, KERTL_TEST_DIES=moment))
    assert status == 137, errors
    assert output in ("begins\n", "begins\ntrains\n")
    status, output, errors = ended(child(tmp_path))
    assert status == 0, errors
    assert output.split()[-1] == end
    assert not list((tmp_path / "run").rglob(".partial-*"))


def kill_at_random(folder, kills, random, span):
    """Kill a run again and again at random moments of its training, then let it end: the digest it prints."""
    reached = 0
    while reached < kills:
        process = child(folder)
        assert process.stdout.readline() == "begins\n"
        time.sleep(random.uniform(0, span))
        process.kill()
        status, output, errors = ended(process)
        if status == 0:
            return reached, output.split()[-1]
        assert status == -signal.SIGKILL, errors
        reached += 1
    status, output, errors = ended(child(folder))
    assert status == 0, errors
    return reached, output.split()[-1]


@pytest.mark.slow
@pytest.mark.promise
def test_a_process_killed_at_random_moments_ends_with_the_same_bits(tmp_path, end):
    draw(tmp_path)
    kills, found = kill_at_random(tmp_path, 3, np.random.default_rng(0), span=3)
    assert kills >= 2
    assert found == end
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics) == {"validation", "test", "best_stage", "stages"}


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_no_bit(tmp_path, end):
    total, random = 0, np.random.default_rng(1)
    while total < 20:
        folder = tmp_path / str(total)
        draw(folder)
        kills, found = kill_at_random(folder, 20, random, span=5)
        assert found == end
        total += kills
    assert digest(kertl.load(folder / "run" / "model.keras")) == end


@pytest.mark.slow
def test_sigterm_to_a_process_ends_it_with_143_and_sigint_with_a_message(tmp_path, end):
    draw(tmp_path)
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)):
        process = child(tmp_path, seconds=1000)
        assert [process.stdout.readline() for _ in range(2)] == ["begins\n", "trains\n"]
        time.sleep(0.5)
        process.send_signal(number)
        found, _, errors = ended(process)
        assert found == status, errors
        newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1].name
        assert_names(errors, repr(newest), "resumes")
    status, output, errors = ended(child(tmp_path))
    assert status == 0, errors
    assert output.split()[-1] == end


@pytest.mark.slow
@pytest.mark.promise
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_runs_on_jax_and_on_two_devices_go_on_too(tmp_path, backend):
    strategy = """
        import contextlib, tensorflow as tf
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
        """
    printed = python(
        f"""
        import keras
        import kertl
        {"import contextlib; scope = contextlib.nullcontext" if backend == "jax" else strategy}
        from pathlib import Path
        from tests.runner.test_resume import Kill, Killed, plan, send
        from tests.runs import classifier, digest, quick, recipe, squares
        import signal

        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert keras.backend.backend() == {backend!r}
        stages = recipe(quick("deep", epochs=2, augment="light"), quick("mid", augment="light"))

        def go(folder, kill):
            with scope():
                model = classifier(dropout=0.3)
            options = dict(recipe=stages, callbacks=[kill], checkpoint_seconds=0, report=False, verbose=0)
            return kertl.fine_tune(model, squares(), run_dir=folder, **options)

        whole = digest(go(None, Kill()).model)
        folder, ways = Path({str(tmp_path)!r}), [
            Kill(["on_train_batch_end"], 3),
            Kill(["on_test_batch_end"], 1, act=send(signal.SIGINT)),
            Kill(["on_epoch_end"], 2),
            Kill(["on_train_batch_end"], 2),
        ]
        for kill in ways:
            try:
                go(folder, kill)
            except (Killed, KeyboardInterrupt):
                print("killed")
        assert digest(go(folder, Kill()).model) == whole
        print("same")
        """,
        KERAS_BACKEND=backend,
    )
    assert printed.split() == ["killed"] * 4 + ["same"]
