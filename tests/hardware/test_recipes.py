"""Two virtual devices train every recipe, and every field of a stage, as one does; or it is refused, by name."""

import json

import pytest

from kertl.recipe import NAMED, PRESETS
from tests.hardware import recipes
from tests.messages import assert_names
from tests.runs import python

CLOSE = 1e-6
BACKENDS = ("tensorflow", "jax")
# What TensorFlow's strategy does otherwise: each replica draws augmentation for its own share, and counts BatchNorm's
# statistics there, of which `kertl.check` warns; JAX has one step for all devices.
OTHERWISE = ("augment", "batch_norm")
REFUSED = {"ema": ("has ema=0.9", "2 replicas", "one device"), "quantize": ("`quantize`", "several replicas", "'int8'")}


def found(backend, names):
    pytest.importorskip(backend)
    code = f"from tests.hardware.recipes import main; main({list(names)!r})"
    return json.loads(python(code, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu").splitlines()[-1])


def test_every_recipe_that_has_a_name_is_among_them():
    assert {*NAMED, *PRESETS, "unfreezing"} - {*recipes.NAMED} == {"auto"}, "auto is good"


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_train_stage_after_stage_as_one_does(backend):
    told = found(backend, ["gradual"])
    assert told["gradual"] < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_train_every_named_recipe_as_one_does(backend):
    told = found(backend, recipes.NAMED)
    assert {name: value for name, value in told.items() if not value < CLOSE} == {}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_train_with_every_field_as_one_does_or_refuse_it_by_name(backend):
    told = found(backend, recipes.STAGES)
    mirrored = backend == "tensorflow"
    if mirrored:
        for name, words in REFUSED.items():
            assert_names(told.pop(name), *words)
        assert all(told.pop(name) > CLOSE for name in OTHERWISE)
    assert {name: value for name, value in told.items() if not value < CLOSE} == {}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_of_ones_own_is_on_two_devices_what_it_is_on_one(backend):
    pytest.importorskip(backend)
    code = "from tests.hardware.own import main; main()"
    told = json.loads(python(code, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu").splitlines()[-1])
    if backend == "tensorflow":  # of clipping, kertl warns
        assert_names(told.pop("gradient_accumulation_steps"), "`optimizer`", "several replicas")
        assert all(told.pop(name) > CLOSE for name in ("clipnorm", "global_clipnorm"))
    assert {name: value for name, value in told.items() if not value < CLOSE} == {}
