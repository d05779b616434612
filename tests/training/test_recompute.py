"""Gradient checkpointing: the same losses and weights as without, to the last digit."""

import json

import keras
import numpy as np
import pytest

import kertl
from kertl.training import Learner
from kertl.training._recompute import Recomputed, checkpointed, recomputable
from tests.families import plain_backbone, small_backbone
from tests.messages import assert_names
from tests.runs import classifier, python, quick, recipe, squares, weights


def trained(again, backbone=plain_backbone, **options):
    stages = [quick("deep"), quick("full", epochs=2, learning_rate=0.05, gradient_checkpointing=again, **options)]
    run = kertl.fine_tune(classifier(backbone=backbone), squares(), recipe=recipe(*stages), verbose=0)
    return run.rows, weights(run.model)


CASES = {
    "plain": {},
    "with versions of images and an average": {"augment": "light", "ema": 0.9, "l2_sp": 0.01, "layer_decay": 0.5},
    "some groups have Dropout": {"backbone": small_backbone},
    "low-rank factors": {"lora_rank": 2},
    "at another size": {"image_size": (64, 64)},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if number else ()) for number, name in enumerate(CASES)]
)
def test_losses_and_weights_are_those_of_training_without_to_the_last_digit(name):
    (rows, kept), (others, again) = (trained(on, **CASES[name]) for on in (False, True))
    assert rows == others
    for path, value in kept.items():
        np.testing.assert_array_equal(again[path], value, err_msg=path)


def test_what_goes_in_and_out_of_a_group_is_all_that_is_kept():
    learner = Learner.of(classifier(backbone=plain_backbone), "single_label")
    stage = quick("full", gradient_checkpointing=True)
    learner.set_trainable(stage)
    suffix = checkpointed(learner, stage)
    assert len([layer for layer in suffix.layers if isinstance(layer, Recomputed)]) == len(
        learner.chain.backbone_groups
    )
    assert {id(v) for v in suffix.trainable_variables} == {id(v) for v in learner.suffix(stage).trainable_variables}
    image = squares().train[0][0]
    np.testing.assert_array_equal(suffix.predict(image, verbose=0), learner.suffix(stage).predict(image, verbose=0))


def test_groups_that_draw_or_count_are_computed_once():
    chain = Learner.of(classifier(backbone=small_backbone), "single_label").chain
    names = [group.name for group in chain.backbone_groups]
    again = [names[number] for number in recomputable(chain, quick("full"))]
    assert again
    assert not any(name.startswith("block") for name in again)  # each has Dropout
    plain = Learner.of(classifier(backbone=plain_backbone), "single_label").chain
    assert len(recomputable(plain, quick("full"))) == len(plain.backbone_groups)
    assert len(recomputable(plain, quick("full", batch_norm="train"))) < len(plain.backbone_groups)


@pytest.mark.slow
def test_a_backbone_of_which_several_depths_are_seen_is_recomputed_too():
    def run(again):
        head = kertl.Head(depths="auto")
        keras.utils.set_random_seed(0)
        model = kertl.build(plain_backbone(), class_names=squares().class_names, head=head)
        stages = [quick("full", epochs=2, learning_rate=0.01, gradient_checkpointing=again)]
        return kertl.fine_tune(model, squares(), recipe=recipe(*stages), verbose=0).rows

    assert run(True) == run(False)


def test_where_nothing_can_be_computed_again_an_error_says_what_to_do():
    with pytest.raises(ValueError, match="`gradient_checkpointing` must be False in the stage at='deep'") as caught:
        kertl.fine_tune(
            classifier(backbone=plain_backbone),
            squares(),
            recipe=recipe(quick("deep", gradient_checkpointing=True)),
            verbose=0,
        )
    assert_names(caught.value, "'deep'", "nearer to the input")
    with pytest.raises(ValueError, match="`gradient_checkpointing` must be left out"):
        kertl.Stage("deep", solver="exact", gradient_checkpointing=True)


@pytest.mark.slow
@pytest.mark.promise
def test_on_jax_the_losses_are_those_of_training_without_too():
    pytest.importorskip("jax")
    printed = python(
        """
        import json
        from tests.training.test_recompute import trained

        print(json.dumps([trained(again)[0] for again in (False, True)]))
        """,
        KERAS_BACKEND="jax",
    )
    kept, again = json.loads(printed.splitlines()[-1])
    assert [row["epoch"] for row in kept] == [1, 2, 3]
    for one, other in zip(kept, again, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-6)
