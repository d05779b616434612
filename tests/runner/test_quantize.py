"""A stage that trains for 8 bits: what it leaves, exactly, after a kill too, and what it does not go with."""

import numpy as np
import pytest

import kertl
from kertl.model import model_info
from kertl.quantization import noted_network
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import quick, recipe, squares, tiny


def go(folder, callback=None, seed=1):
    plan = recipe(
        quick("deep"),
        quick("mid", epochs=3, quantize="int8", augment="light", batch_norm="train", learning_rate=1e-3),
        seed=3,
    )
    options = {"callbacks": [callback or Kill()], "checkpoint_seconds": 0, "verbose": 0, "report": False}
    return kertl.fine_tune(tiny(seed, dropout=0.3), squares(), recipe=plan, run_dir=folder, **options)


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_that_trains_for_8_bits_is_exact_after_a_kill_and_exports_what_it_trained(tmp_path):
    whole = go(tmp_path / "whole")
    for hooks, calls in ((["on_train_batch_end"], 6), (["on_epoch_end"], 2)):
        with pytest.raises(Killed):
            go(tmp_path / "killed", Kill(hooks, calls))
    resumed = go(tmp_path / "killed", seed=2)
    for before, after in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        assert np.array_equal(before, after)
    info = model_info(whole.model)
    assert info.int8 is not None
    assert info.int8 == model_info(resumed.model).int8 == model_info(kertl.load(tmp_path / "whole")).int8
    assert whole.best_stage == 1
    assert noted_network(whole.model) is not None
    found = kertl.export(
        tmp_path / "whole", tmp_path / "m.tflite", format="litert", quantize="int8", data=squares(), images=12
    )
    assert found.within_one_step >= 0.999


def test_what_does_not_go_with_8_bits_is_refused():
    for field, value in {"cache": True, "views": 2, "lora_rank": 2, "image_size": (64, 64)}.items():
        augment = "light" if field == "views" else "none"
        with pytest.raises(ValueError, match=rf"`{field}` must be .* with quantize='int8'"):
            kertl.Stage("mid", quantize="int8", augment=augment, **{field: value})
    with pytest.raises(ValueError, match=r"learning_rate.*a number with quantize='int8'"):
        kertl.Stage("mid", quantize="int8", learning_rate="auto")
    rounded = kertl.Stage("mid", quantize="int8")
    with pytest.raises(ValueError, match="Stages in 8 bits come last"):
        kertl.Recipe(stages=[rounded, kertl.Stage("mid")])
    with pytest.raises(ValueError, match="`precision` must be 'float32' with a stage that has quantize='int8'"):
        kertl.Recipe(stages=[rounded], precision="mixed_bfloat16")
    with pytest.raises(ValueError, match="quantize") as told:
        kertl.cross_validate(tiny(), squares(), recipe=recipe(quick(quantize="int8")), folds=2)
    assert_names(str(told.value), "None in cross_validate", "export of one model")
    with pytest.raises(ValueError, match="None in a range test"):
        kertl.range_test.stage_range_test(tiny(), squares(), quick(quantize="int8"))
