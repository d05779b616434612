import contextlib
import csv
import json
import logging
import re

import keras
import numpy as np
import pytest

import kertl
from kertl.runner import _stage
from kertl.tasks import SmoothedCrossentropy
from kertl.training import _stage as _training
from tests.families import small_backbone
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import classifier, python, quick, recipe, same, squares, tiny, values, weights


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two stages in a directory: (run, data, spied pairs of optimizers)."""
    carried = []

    def spy(old, old_variables, new, new_variables):
        count = carry(old, old_variables, new, new_variables)
        carried.append((old, list(old_variables), new, list(new_variables), values(new.variables), count))
        return count

    carry, _training.carry_moments = _training.carry_moments, spy
    try:
        data = squares()
        plan = recipe(quick("deep", epochs=3, augment="light"), quick(2, epochs=2, learning_rate=0.003))
        run = kertl.fine_tune(tiny(), data, recipe=plan, run_dir=tmp_path_factory.mktemp("run"), verbose=0)
    finally:
        _training.carry_moments = carry
    return run, data, carried


def test_coloured_squares_are_learnt():
    # At "full" the random backbone learns too; its BatchNorm has no statistics yet, so it has to train.
    plan = recipe(quick("full", epochs=12, learning_rate=0.01, batch_norm="train"))
    run = kertl.fine_tune(tiny(), squares(per_class=32), recipe=plan, verbose=0)
    assert run.history["loss"][-1] < run.history["loss"][0]
    assert run.metrics["test"]["accuracy"] > 0.8
    assert run.metrics["test"]["majority"] == pytest.approx(1 / 3)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize(("at", "behind"), [("deep", ()), (3, ("block3", "block4"))])
def test_frozen_weights_and_batch_norm_statistics_are_bit_identical_after_a_stage(at, behind):
    model = classifier()
    before = weights(model)
    kertl.fine_tune(model, squares(), recipe=recipe(quick(at, augment="light", batch_norm="train")), verbose=0)
    kept = same(before, weights(model))
    trained = [
        path for path in kept if re.search("|".join(["head_", "predictions", *(f"/?{b}_" for b in behind)]), path)
    ]
    assert {path for path, equal in kept.items() if not equal} <= set(trained)
    assert np.mean([not kept[path] for path in trained]) > 0.8


@pytest.mark.promise
@pytest.mark.slow
def test_frozen_batch_norm_behind_the_boundary_keeps_its_statistics():
    model = classifier()
    before = weights(model)
    kertl.fine_tune(model, squares(), recipe=recipe(quick("full")), verbose=0)
    kept = same(before, weights(model))
    backbone_norms = [path for path in kept if re.search(r"(stem|block\d)_bn", path)]
    assert len(backbone_norms) == 5 * 4
    assert all(kept[path] for path in backbone_norms)
    assert not any(kept[path] for path in kept if path.endswith("_conv/kernel"))


@pytest.mark.promise
@pytest.mark.slow
def test_moments_are_carried_to_the_next_stage_with_a_step_count_of_zero(finished):
    _, data, ((old, old_variables, new, new_variables, _, count),) = finished
    assert len(old_variables) < len(new_variables)
    assert count == len(old_variables)
    assert int(old.iterations) == 3 * len(data.train)
    assert int(new.iterations) == 2 * len(data.train)


def test_the_moments_that_a_stage_begins_with_are_those_of_the_stage_before_and_zero_elsewhere(finished):
    _, _, ((old, old_variables, new, new_variables, at_start, _),) = finished
    begin = {id(variable): value for variable, value in zip(new.variables, at_start, strict=True)}
    assert begin[id(new.iterations)] == 0
    places = {id(variable): place for place, variable in enumerate(old_variables)}
    for slot in ("_momentums", "_velocities"):
        for place, variable in enumerate(new_variables):
            moment = begin[id(getattr(new, slot)[place])]
            if id(variable) in places:
                np.testing.assert_array_equal(moment, getattr(old, slot)[places[id(variable)]])
                assert np.any(moment != 0), variable.path
            else:
                assert np.all(moment == 0), variable.path


def test_the_curves_run_through_the_stages(finished):
    run, _, _ = finished
    assert run.history["epoch"] == [1, 2, 3, 4, 5]
    assert run.history["stage"] == [0, 0, 0, 1, 1]
    assert run.history["at"] == ["deep"] * 3 + [2] * 2
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= run.history.keys()
    assert {len(column) for column in run.history.values()} == {5}


def test_the_rate_of_each_epoch_is_that_of_the_schedule_at_its_last_step(finished):
    run, data, _ = finished
    expected = []
    for stage in run.recipe.stages:
        schedule = kertl.schedules.OneCycle(stage.learning_rate, len(data.train) * stage.epochs)
        expected += [float(schedule((epoch + 1) * len(data.train))) for epoch in range(stage.epochs)]
    np.testing.assert_allclose(run.history["learning_rate"], expected, rtol=1e-4, atol=1e-9)


def test_the_run_directory_is_complete_and_readable(finished):
    run, data, _ = finished
    names = {path.name for path in run.run_dir.iterdir()}
    assert names == {
        ".lock",
        "SHA256SUMS",
        "checkpoints",
        "data.csv",
        "data.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "model.json",
        "model.keras",
        "recipe.json",
        "tensorboard",
    }
    assert kertl.Recipe.from_json((run.run_dir / "recipe.json").read_text()) == run.recipe
    with (run.run_dir / "data.csv").open(newline="") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [
            (record.file, record.label, record.split, record.sha256) for record in data.records
        ]
    with (run.run_dir / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == run.history["epoch"]
    assert [float(row["val_loss"]) for row in rows] == run.history["val_loss"]
    written = json.loads((run.run_dir / "metrics.json").read_text())
    assert {name: written[name] for name in run.metrics} == run.metrics
    assert (written["best_stage"], len(written["stages"])) == (run.best_stage, 2)
    environment = json.loads((run.run_dir / "environment.json").read_text())
    assert environment["packages"]["keras"] == keras.__version__
    assert environment["backend"] == keras.backend.backend()
    events = list((run.run_dir / "tensorboard").rglob("events.out.tfevents.*"))
    assert {path.parent.name for path in events} == {"tensorboard", "train", "validation"}
    assert all(path.stat().st_size for path in events)


def test_the_saved_model_is_the_trained_one(finished):
    run, data, _ = finished
    saved = kertl.load(run.run_dir / "model.keras")
    np.testing.assert_array_equal(kertl.predict(saved, data.test), kertl.predict(run.model, data.test))


def test_augmentation_is_not_in_the_model_afterwards(finished):
    run, _, _ = finished
    kinds = [type(layer) for layer in tiny()._flatten_layers()]
    assert [type(layer) for layer in run.model._flatten_layers()] == kinds
    assert [type(layer) for layer in kertl.load(run.run_dir / "model.keras")._flatten_layers()] == kinds


def test_the_metrics_are_those_of_evaluate_on_validation_and_test(finished):
    run, data, _ = finished
    assert run.metrics == {
        "validation": kertl.evaluate(run.model, data.validation),
        "test": kertl.evaluate(run.model, data.test),
    }


def test_a_finished_run_is_read_and_not_trained_again(finished, monkeypatch, caplog):
    run, data, _ = finished
    monkeypatch.setattr(_stage.StageRunner, "train", lambda *_, **__: pytest.fail("trained again"))
    other = tiny(seed=5)
    with caplog.at_level(logging.INFO, logger="kertl"):
        again = kertl.fine_tune(other, data, recipe=run.recipe, run_dir=run.run_dir)
    assert_names(caplog.text, run.run_dir, "finished")
    assert again.model is other
    np.testing.assert_array_equal(kertl.predict(other, data.test), kertl.predict(run.model, data.test))
    assert again.metrics == run.metrics
    assert again.history == run.history


def test_another_recipe_in_the_same_directory_is_refused_with_the_difference(finished):
    run, data, _ = finished
    first, _ = run.recipe.stages
    other = kertl.Recipe(stages=[first, quick(2, epochs=7, learning_rate=0.003)])
    with pytest.raises(kertl.errors.RunError) as caught:
        kertl.fine_tune(tiny(), data, recipe=other, run_dir=run.run_dir, verbose=0)
    assert_names(caught.value, "`run_dir`", f"run_dir={str(run.run_dir)!r}", "recipe.json")
    changes = [line.strip() for line in str(caught.value).splitlines() if re.match(r"  [-+] ", line)]
    assert changes == ['-      "epochs": 2,', '+      "epochs": 7,']


def test_other_data_in_the_same_directory_is_refused_with_the_difference(finished):
    run, _, _ = finished
    before = (run.run_dir / "data.csv").read_bytes()
    with pytest.raises(kertl.errors.RunError) as caught:
        kertl.fine_tune(tiny(), squares(seed=9), recipe=run.recipe, run_dir=run.run_dir, verbose=0)
    assert_names(caught.value, "`run_dir`", f"run_dir={str(run.run_dir)!r}", "data.csv", "'array:0'")
    assert re.search(r"\n  … and \d+ more", str(caught.value))
    assert (run.run_dir / "data.csv").read_bytes() == before


def test_an_unfinished_run_of_another_recipe_is_refused_as_well(tmp_path):
    data = squares()
    (tmp_path / "recipe.json").write_text(recipe(quick("deep", epochs=4)).to_json())
    with pytest.raises(kertl.errors.RunError, match=r"recipe\.json differs"):
        kertl.fine_tune(tiny(), data, recipe=recipe("deep"), run_dir=tmp_path, verbose=0)


def test_early_stopping_ends_a_stage_that_no_longer_improves():
    # A rate too small to change a float32 weight: the second epoch is no better than the first.
    still = {"learning_rate": 1e-30, "schedule": "constant"}
    plan = recipe(quick("deep", epochs=5, patience_epochs=1, **still), quick("deep", epochs=1))
    run = kertl.fine_tune(tiny(batch_norm=False), squares(), recipe=plan, verbose=0)
    assert run.history["stage"] == [0, 0, 1]
    assert run.history["val_loss"][0] == run.history["val_loss"][1]


def test_the_weights_of_the_epoch_with_the_lowest_validation_loss_are_kept():
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                model.get_layer("predictions").kernel.assign(100 * np.random.default_rng(0).normal(size=(16, 3)))

    model, data = tiny(), squares()
    run = kertl.fine_tune(model, data, recipe=recipe(quick(epochs=4)), callbacks=[Spoil()], verbose=0)
    losses = run.history["val_loss"]
    assert min(losses) == min(losses[:2]) < losses[-1]
    model.compile(loss=SmoothedCrossentropy(0.1))
    assert model.evaluate(data.validation, verbose=0) == pytest.approx(min(losses), rel=1e-5)


def test_without_a_validation_part_the_training_loss_chooses_and_only_the_test_is_judged():
    run = kertl.fine_tune(tiny(), squares(validation=0), recipe=recipe(quick(epochs=2)), verbose=0)
    assert "val_loss" not in run.history
    assert sorted(run.metrics) == ["test"]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_stage_that_diverges_stops_with_what_to_try_and_the_best_weights_remain(tmp_path, precision):
    model, data = tiny(), squares()
    before = weights(model)
    flags = [layer.trainable for layer in model._flatten_layers()]
    wild = quick("deep", epochs=3, learning_rate=1e30, optimizer="sgd", schedule="constant")
    plan = recipe(wild, precision=precision)
    with pytest.raises(kertl.errors.DivergedError) as caught:
        kertl.fine_tune(model, data, recipe=plan, run_dir=tmp_path, verbose=0)
    assert_names(caught.value, "stage 1 (at='deep')", "epoch 1", "`learning_rate`", "1e+30", "`data.issues`")
    assert re.search(r"batch \d", str(caught.value))
    assert ("`precision='float32'`" in str(caught.value)) == (precision != "float32")
    assert all(same(before, weights(model)).values())
    assert all(same(before, weights(kertl.load(tmp_path / "model.keras"))).values())
    assert not (tmp_path / "metrics.json").exists()
    assert [layer.trainable for layer in model._flatten_layers()] == flags


def test_a_later_stage_that_diverges_leaves_the_weights_of_the_stage_before(tmp_path):
    ends = []
    end = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(weights(model)))
    model, wild = tiny(), quick("mid", learning_rate=1e30, optimizer="sgd", schedule="constant")
    with pytest.raises(kertl.errors.DivergedError, match=r"stage 2 \(at='mid'\) .*epoch 2, batch"):
        kertl.fine_tune(model, squares(), recipe=recipe("deep", wild), run_dir=tmp_path, callbacks=[end], verbose=0)
    assert all(same(ends[0], weights(model)).values())


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_after_one_that_diverged_in_mid_epoch_goes_through_the_same_batches():
    data, ends = squares(), []
    wild = quick("mid", learning_rate=1e30, optimizer="sgd", schedule="constant")
    for plan in (recipe("deep"), recipe(wild), recipe("deep")):
        model = tiny()
        with contextlib.suppress(kertl.errors.DivergedError):
            kertl.fine_tune(model, data, recipe=plan, verbose=0)
        ends.append(weights(model))
    assert all(same(ends[0], ends[2]).values())
    assert all(same(ends[1], weights(tiny())).values()), "it diverged"


def test_trainable_flags_are_afterwards_as_before():
    model = tiny()
    flags = {}
    for number, layer in enumerate(model._flatten_layers()):
        if not isinstance(layer, keras.Model):
            layer.trainable = number % 3 > 0
    flags = {layer.name: layer.trainable for layer in model._flatten_layers()}
    assert len(set(flags.values())) == 2
    kertl.fine_tune(model, squares(), recipe=recipe("deep"), verbose=0)
    assert {layer.name: layer.trainable for layer in model._flatten_layers()} == flags


@pytest.mark.parametrize("precision", some_of(["mixed_bfloat16", "mixed_float16"], "mixed_float16"))
def test_mixed_precision_trains_float32_weights_and_gives_the_policies_back(precision, monkeypatch):
    compiled = []
    original = keras.Model.compile

    def spy(self, optimizer="rmsprop", **options):
        computing = {layer.compute_dtype for layer in self._flatten_layers() if isinstance(layer, keras.layers.Conv2D)}
        compiled.append((type(optimizer).__name__, computing))
        original(self, optimizer, **options)

    monkeypatch.setattr(keras.Model, "compile", spy)
    model, data = tiny(), squares()
    policies = {layer.name: layer.dtype_policy.name for layer in model._flatten_layers()}
    plan = recipe(quick("deep", epochs=2), "deep", precision=precision)
    run = kertl.fine_tune(model, data, recipe=plan, verbose=0)
    half = precision.removeprefix("mixed_")
    optimizer = "LossScaleOptimizer" if precision == "mixed_float16" else "AdamW"
    assert compiled == [(optimizer, {half})] * 2
    assert {layer.name: layer.dtype_policy.name for layer in model._flatten_layers()} == policies
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert np.all(np.isfinite(run.history["loss"]))
    assert run.history["loss"][1] != run.history["loss"][0]
    if precision == "mixed_bfloat16":
        whole = kertl.fine_tune(tiny(), data, recipe=recipe(quick("deep", epochs=2)), precision="float32", verbose=0)
        assert whole.recipe.precision == "float32"
        np.testing.assert_allclose(run.history["val_loss"][:2], whole.history["val_loss"], rtol=0.1)
    assert model(np.zeros((1, 32, 32, 3))).dtype == "float32"
    assert all(layer.compute_dtype == "float32" for layer in model._flatten_layers())


@pytest.mark.promise
@pytest.mark.slow
def test_two_runs_with_the_same_seeds_end_with_bit_identical_weights():
    ends = []
    for draws in (0, 3):
        model = tiny(dropout=0.5)
        for _ in range(draws):  # what was drawn before does not matter
            keras.random.uniform((4,))
            model(np.zeros((2, 32, 32, 3)), training=True)
            model.set_weights(tiny(dropout=0.5).get_weights())
        plan = recipe(quick("mid", augment="strong", epochs=2), seed=3)
        kertl.fine_tune(model, squares(), recipe=plan, verbose=0)
        ends.append(weights(model))
    assert all(np.array_equal(a, b) for a, b in zip(ends[0].values(), ends[1].values(), strict=True))


@pytest.mark.promise
@pytest.mark.slow
def test_another_seed_of_the_recipe_draws_another_augmentation():
    ends = []
    for seed in (0, 1):
        model = tiny(dropout=0.0)
        kertl.fine_tune(model, squares(), recipe=recipe(quick(augment="light"), seed=seed), verbose=0)
        ends.append(values(model.get_layer("predictions").variables))
    assert not np.array_equal(ends[0][0], ends[1][0])


def test_the_data_of_each_epoch_come_in_the_order_of_that_epoch(monkeypatch):
    data, seen = squares(), []
    order = type(data.train).order
    monkeypatch.setattr(type(data.train), "order", lambda self, epoch: seen.append((self, epoch)) or order(self, epoch))
    kertl.fine_tune(tiny(), data, recipe=recipe(quick(epochs=2), quick("mid", epochs=2)), verbose=0)
    assert {epoch for dataset, epoch in seen if dataset is data.train} == {0, 1, 2, 3}


def test_callbacks_of_the_user_see_every_epoch_of_every_stage():
    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs.append((epoch, "val_loss" in logs))

    epochs = []
    plan = recipe(quick(epochs=2), "mid")
    kertl.fine_tune(tiny(), squares(), recipe=plan, callbacks=[Watch()], verbose=0)
    assert epochs == [(0, True), (1, True), (2, True)]


@pytest.fixture
def untrained(monkeypatch):
    """Fails the test if a stage begins."""
    monkeypatch.setattr(_stage.StageRunner, "train", lambda *_, **__: pytest.fail("a stage began"))


@pytest.mark.usefixtures("untrained")
def test_data_that_are_no_image_data_are_refused_before_training():
    with pytest.raises(ValueError, match=r"`data` must be .*`kertl\.data\.from_directory`.* data=\(1"):
        kertl.fine_tune(classifier(), (1, 2), recipe="deep")


@pytest.mark.usefixtures("untrained")
def test_another_number_of_classes_is_refused_before_training():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(kertl.build(small_backbone(), num_classes=2), squares(), recipe="deep")
    assert_names(caught.value, "`model`", "['blue', 'green', 'red']", "'small_single_label'", "2 outputs")


@pytest.mark.usefixtures("untrained")
def test_classes_in_another_order_are_refused_before_training():
    model = kertl.build(small_backbone(), class_names=["red", "green", "blue"])
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(model, squares(), recipe="deep")
    assert_names(caught.value, "`model`", "['blue', 'green', 'red']", "'small_single_label'")
    assert_names(caught.value, "`class_names=['red', 'green', 'blue']`")


@pytest.mark.usefixtures("untrained")
def test_images_of_another_size_are_refused_before_training():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(classifier(), squares(per_class=4, side=48), recipe="deep")
    assert_names(caught.value, "`data`", "(32, 32)", "image_size=(48, 48)", "`image_size=(32, 32)`")


@pytest.mark.usefixtures("untrained")
def test_an_unknown_boundary_in_a_later_stage_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"`at` must be .* at='block9'\."):
        kertl.fine_tune(classifier(), squares(), recipe=recipe("deep", "block9"), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_a_model_of_another_task_is_refused_before_training(task):
    model = kertl.build(small_backbone(), num_classes=3, task=task)
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(model, squares(), recipe="deep")
    assert_names(caught.value, "`model`", f"'small_{task}'", "`task='single_label'`", f"`task={task!r}`")


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("wrong", ["deeep", 3])
def test_an_unknown_recipe_is_refused_before_training(wrong):
    with pytest.raises(ValueError, match=r"`recipe` must be .*Received: recipe="):
        kertl.fine_tune(classifier(), squares(), recipe=wrong)


@pytest.mark.slow
@pytest.mark.promise
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute belongs to TensorFlow")
def test_two_devices_under_a_mirrored_strategy_give_the_weights_of_one():
    # Plain SGD, no randomness, batches that divide evenly: what a device adds is the order of sums alone.
    printed = python(
        """
        import json
        import keras, numpy as np, tensorflow as tf
        import kertl
        from tests.families import small_backbone

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        tf.config.set_visible_devices([], "GPU")

        def trained():
            keras.utils.set_random_seed(1)
            head = kertl.Head(dropout=0.0, batch_norm=False)
            model = kertl.build(small_backbone(), num_classes=2, head=head)
            stage = {"augment": "none", "optimizer": "sgd", "learning_rate": 0.1, "epochs": 1}
            recipe = kertl.Recipe(stages=[kertl.Stage("deep", **stage), kertl.Stage(1, **stage)])
            x = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
            data = kertl.data.from_arrays(x, [0, 1] * 12, validation=8 / 24, test=0, batch_size=8)
            before = model.get_weights()
            run = kertl.fine_tune(model, data, recipe=recipe, verbose=0)
            return run.history["loss"], before, model.get_weights()

        one = trained()
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            two = trained()
        difference = max(float(np.abs(a - b).max()) for a, b in zip(one[2], two[2], strict=True))
        moved = max(float(np.abs(a - b).max()) for a, b in zip(one[1], one[2], strict=True))
        print(json.dumps({"difference": difference, "moved": moved, "losses": [one[0], two[0]]}))
        """
    )
    found = json.loads(printed.splitlines()[-1])
    assert found["moved"] > 1e-3
    assert found["difference"] < 1e-5
    np.testing.assert_allclose(*found["losses"], rtol=1e-5)


@pytest.mark.slow
def test_the_whole_chain_runs_on_jax_where_tensorflow_cannot_be_imported(tmp_path):
    pytest.importorskip("jax")
    printed = python(
        f"""
        import importlib.machinery, sys

        class WithoutTensorFlow(importlib.machinery.PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None if name.split(".")[0] == "tensorflow" else super().find_spec(name, path, target)

        sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = WithoutTensorFlow
        import keras, numpy as np
        import kertl
        from tests.families import small_backbone

        assert keras.backend.backend() == "jax"
        # A class is dark, the other bright: stage 2, at a high rate, is the run's best on any machine.
        labels = np.array([0, 1] * 12, dtype="uint8")
        x = np.random.default_rng(0).integers(0, 128, (24, 32, 32, 3), dtype="uint8")
        x += 127 * labels[:, None, None, None]
        data = kertl.data.from_arrays(x, labels, validation=0.25, test=0.25, batch_size=4)
        backbone = kertl.load_backbone(small_backbone())
        model = kertl.build(backbone, class_names=data.class_names)

        def values(trained):
            variables = [v for v in backbone.variables if "seed" not in v.path]
            return [keras.ops.convert_to_numpy(v).copy() for v in variables if ("block4_conv" in v.path) == trained]

        before = values(False), values(True)
        last = kertl.Stage(2, epochs=1, learning_rate=0.01)
        recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=2, augment="light"), last])
        run = kertl.fine_tune(model, data, recipe=recipe, run_dir={str(tmp_path / "run")!r}, verbose=0)
        assert run.history["epoch"] == [1, 2, 3], run.history
        assert "tensorflow" not in sys.modules
        assert np.isfinite(run.history["loss"]).all()
        assert all(np.array_equal(a, b) for a, b in zip(before[0], values(False), strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(before[1], values(True), strict=True))
        kertl.save(model, {str(tmp_path / "m.keras")!r})
        loaded = kertl.load({str(tmp_path / "m.keras")!r})
        assert kertl.evaluate(loaded, data.test) == kertl.evaluate(model, data.test) == run.metrics["test"]
        print("done")
        """,
        KERAS_BACKEND="jax",
    )
    assert printed.splitlines()[-1] == "done"
    assert {path.name for path in (tmp_path / "run" / "tensorboard").iterdir()} >= {"train", "validation"}
