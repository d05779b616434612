import keras
import numpy as np
import pytest

import kertl
from kertl.backbones import APPLICATIONS, KINDS, recognise
from tests.families import EACH_FAMILY, FAMILIES, SIDES, application, lively


def constructors():
    """The functions of `keras.applications` that build an image model: those that begin with a capital."""
    return {
        name for name in dir(keras.applications) if name[0].isupper() and callable(getattr(keras.applications, name))
    }


def test_every_image_model_of_keras_applications_is_listed_once_under_its_own_name():
    assert set(APPLICATIONS) == constructors()
    assert len(APPLICATIONS) == 40
    assert all(name == application_.name for name, application_ in APPLICATIONS.items())


def test_every_entry_names_a_known_preprocessing_and_a_size_above_its_minimum():
    for entry in APPLICATIONS.values():
        assert entry.preprocessing in KINDS, entry
        assert 32 <= entry.minimum < entry.size, entry


@pytest.mark.parametrize("name", EACH_FAMILY)
def test_the_figures_of_each_family_are_those_of_the_model_itself(name):
    entry = APPLICATIONS[name]
    with pytest.raises(ValueError, match=r"at least|must be"):
        application(name, entry.minimum - 1)
    model = application(name, entry.minimum)
    assert model.count_params() == entry.parameters
    assert len(kertl.layer_groups(application(name, FAMILIES[name]))) == entry.groups
    found = recognise(model)
    assert found is not None
    assert (found.name, found.preprocessing) == (name, entry.preprocessing)


def test_another_width_of_a_family_is_recognised():
    narrow = keras.applications.MobileNetV2(weights=None, include_top=False, alpha=0.35, input_shape=(64, 64, 3))
    found = recognise(narrow)
    assert found is not None
    assert (found.name, found.preprocessing) == ("MobileNetV2", "tf")


def test_a_model_that_is_no_application_is_not_recognised():
    inputs = keras.Input((16, 16, 3))
    assert recognise(keras.Model(inputs, keras.layers.Conv2D(4, 3, name="conv1")(inputs))) is None
    assert recognise(keras.Model(inputs, keras.layers.ReLU()(inputs))) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_agrees_with_its_entry_and_with_its_halves_at_every_boundary(name):
    entry, side = APPLICATIONS[name], SIDES.get(name, 64)
    keras.backend.clear_session()
    model = application(name, side)
    groups = kertl.layer_groups(model)
    found = recognise(model)
    assert (model.count_params(), len(groups)) == (entry.parameters, entry.groups)
    assert found is not None
    assert found.preprocessing == entry.preprocessing
    x = np.random.default_rng(0).uniform(-1, 1, (4, side, side, 3)).astype("float32")
    lively(model, x)
    whole = keras.ops.convert_to_numpy(model(x))
    for k in range(len(groups) + 1):
        prefix, suffix = kertl.split(model, k)
        halves = keras.ops.convert_to_numpy(suffix(prefix(x)))
        assert np.abs(whole - halves).max() <= 1e-5 * np.abs(whole).max(), f"the last {k} groups"
