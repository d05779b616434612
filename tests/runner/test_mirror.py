"""Stages that look at mirror images: what they solve, which model the run gives, and the same bits after a kill."""

import numpy as np
import pytest

import kertl
from kertl.probes import solve
from tests.families import tiny_backbone
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import digest, quick, recipe, squares, tiny

MIRROR = kertl.Stage("deep", solver="exact", mirror="horizontal")


def go(folder=None, *, stages=(MIRROR,), seed=1, **options):
    model = tiny(seed, depths="auto", dropout=None)
    options = {"verbose": 0, "checkpoint_seconds": 0, "report": False, "callbacks": [Kill()], **options}
    return model, kertl.fine_tune(model, squares(), recipe=recipe(*stages, refit=True), run_dir=folder, **options)


def pictures(part):
    return part.reader.take(np.arange(part.num_examples)).astype("float32")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return go(tmp_path_factory.mktemp("whole"))


def test_the_head_is_solved_on_the_mean_of_the_features_of_an_image_and_its_mirror_image(whole):
    model, run = whole
    parts = [squares().train, squares().validation]  # together, because it is solved once more
    images, labels = (np.concatenate(each) for each in ([*map(pictures, parts)], [part.labels for part in parts]))
    seen = [images, images[:, :, ::-1]]
    rows = np.mean([kertl.extract(model, one, engine="keras").values for one in seen], axis=0)
    found = solve(rows, np.eye(3)[labels], link="softmax", strengths=[run.refit["strength"]])
    said = np.exp(rows @ found.kernel + found.bias)
    np.testing.assert_allclose(run.model(images), said / said.sum(axis=1, keepdims=True), atol=1e-4)


def test_the_model_of_the_run_looks_at_mirror_images_with_the_layers_of_the_one_that_was_given(whole):
    model, run = whole
    images = pictures(squares().test)
    np.testing.assert_allclose(run.model(images[:, :, ::-1]), run.model(images), atol=1e-6)
    assert np.abs(model(images) - run.model(images)).max() > 1e-6
    assert digest(model) == digest(run.model)
    again = kertl.evaluate(run.model, squares().test)
    assert run.metrics["test"]["crossentropy"] == pytest.approx(again["crossentropy"], rel=1e-3)
    assert "mirror image" in run.table()


def test_a_finished_run_is_read_and_gives_the_same_model(whole):
    _, run = whole
    again, read = go(run.run_dir, seed=7)
    images = pictures(squares().test)
    np.testing.assert_array_equal(read.model(images), run.model(images))
    assert digest(again) == digest(run.model)


def test_a_run_goes_on_to_the_same_bits_after_a_kill(whole, tmp_path):
    _, run = whole
    with pytest.raises(Killed):
        go(tmp_path, callbacks=[Kill(["on_epoch_end"], 1)])
    _, again = go(tmp_path)
    assert digest(again.model) == digest(run.model)


def test_the_run_gives_the_plain_model_where_mirror_images_are_worse():
    random = np.random.default_rng(0)
    images = random.integers(90, 160, (60, 32, 32, 3), dtype="uint8")
    images[:30, :, :16], images[30:, :, 16:] = 250, 250  # the class is the side that is bright
    data = kertl.data.from_arrays(images, [0] * 30 + [1] * 30, validation=0.3, test=0.2, batch_size=8)
    model = kertl.build(tiny_backbone(), class_names=data.class_names, head=kertl.Head(depths="auto"))
    plan = recipe(kertl.Stage("deep", solver="exact"), MIRROR)
    run = kertl.fine_tune(model, data, recipe=plan, verbose=0)
    assert run.best_stage == 0
    assert run.stages[1].value > 10 * run.stages[0].value
    assert run.model is model


def test_where_it_has_no_meaning_it_is_refused():
    with pytest.raises(ValueError, match=r"`mirror` must be None unless solver='exact'") as caught:
        kertl.Stage("deep", mirror="both")
    assert_names(caught.value, "mirror='both'", "augment")
    with pytest.raises(ValueError, match="average=True"):
        kertl.Recipe(stages=[MIRROR, quick("mid")], average=True)
    with pytest.raises(ValueError, match="`mirror` must be None in cross_validate"):
        kertl.cross_validate(tiny(depths="auto", dropout=None), squares(), recipe=recipe(MIRROR))
