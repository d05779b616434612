import pytest

import kertl
from kertl.recipe import NAMED
from tests.messages import assert_names
from tests.runs import classifier, same, squares, weights


def test_each_stage_begins_further_to_the_front_at_a_lower_rate():
    model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(64, 64, 3))
    recipe = kertl.gradual_unfreezing(model, epochs=2, patience_epochs=1, optimizer="sgd", rate_decay=0.5)
    head, *others = recipe.stages
    assert (head,) == NAMED["deep"]
    names = [group.name for group in kertl.layer_groups(model)]
    places = [0 if stage.at == "full" else names.index(stage.at) for stage in others]
    assert places == sorted(places, reverse=True)
    assert places[-1] == 0
    assert all(kertl.layer_groups(model)[place - 1].boundary == "main" for place in places[:-1])
    assert [stage.learning_rate for stage in others] == [1e-4 * 0.5**k for k in range(len(others))]
    tested = kertl.gradual_unfreezing(model, learning_rate="auto")
    assert {stage.learning_rate for stage in tested.stages[1:]} == {"auto"}
    assert {(stage.epochs, stage.patience_epochs, stage.optimizer) for stage in others} == {(2, 1, "sgd")}


@pytest.mark.parametrize(
    ("down_to", "by", "ats"),
    [
        ("mid", "main", ["block4"]),
        ("block2", "block", ["block4", "block3", "block2"]),
        ("deep", "block", []),
        (2, "block", ["block4"]),
        ("full", "block", ["block4", "block3", "block2", "block1", "full"]),
    ],
)
def test_it_goes_down_to_the_boundary_that_is_asked_for(down_to, by, ats):
    recipe = kertl.gradual_unfreezing(classifier(), down_to=down_to, by=by)
    assert [stage.at for stage in recipe.stages] == ["deep", *ats]


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_unfreezes_one_block_after_the_other(monkeypatch):
    model = classifier()
    before = weights(model)
    recipe = kertl.gradual_unfreezing(model, down_to="block3", by="block", epochs=1, cache=False, augment="none")
    kertl.fine_tune(model, squares(per_class=8), recipe=recipe, verbose=0)
    kept = same(before, weights(model))
    assert all(kept[path] for path in kept if any(f"{name}_" in path for name in ("stem", "block1", "block2")))
    assert not any(kept[path] for path in kept if path.endswith(("block3_conv/kernel", "block4_conv/kernel")))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"by": "layer"}, ("`by`", "'main'", "'block'", "by='layer'")),
        ({"rate_decay": 0}, ("`rate_decay`", "> 0", "<= 1", "rate_decay=0")),
        ({"learning_rate": -1}, ("`learning_rate`", "> 0", "learning_rate=-1")),
        ({"down_to": "block9"}, ("`at`", "'block1'", "at='block9'")),
    ],
)
def test_what_cannot_be_unfrozen_so_is_refused(options, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.gradual_unfreezing(classifier(), **options)
    assert_names(caught.value, *named)
