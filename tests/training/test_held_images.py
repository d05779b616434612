"""Images that JAX holds on an accelerator, for which a CPU stands here: the same training as batch by batch."""

import pytest

from tests.runs import python

SCRIPT = """
import kertl
import keras
import numpy as np
import kertl.features._fitter as fitter
import kertl.features._versions as versions
from kertl.training import _material
from tests.runs import classifier, quick, recipe, squares

assert keras.backend.backend() == "jax"
epochs_at_once = []
fit = _material.OnHeldImages.fit
_material.OnHeldImages.fit = lambda self, *a, **o: epochs_at_once.append(self.steps) or fit(self, *a, **o)


def history(held, **fields):
    for module in (fitter, versions):
        module.on_accelerator, module.fits_on_device = (lambda: held), (lambda count: True)
    data = squares()
    stage = quick("full", cache=False, **{"epochs": 2, "augment": "none", "batch_norm": "train", **fields})
    run = kertl.fine_tune(classifier(), data, recipe=recipe(stage), verbose=0)
    return np.array(run.history["loss"] + run.history["val_loss"])


for fields in ({"class_weights": True}, {"oversample": True, "ema": 0.5, "augment": "light"}):
    np.testing.assert_allclose(history(True, **fields), history(False, **fields), rtol=1e-3)
assert epochs_at_once and set(epochs_at_once) == {1}
taken = len(epochs_at_once)
history(True, mixup=0.2)
assert len(epochs_at_once) == taken, "what is mixed comes batch by batch"
"""


@pytest.mark.promise
@pytest.mark.slow
def test_training_is_the_same_as_batch_by_batch():
    python(SCRIPT, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
