"""A model that looks at mirror images too: plain Keras, the mean of several passes, and a chain of its own."""

import keras
import numpy as np
import pytest

import kertl
from kertl.groups import find_chain
from kertl.model import mirrored
from tests.families import tiny_backbone
from tests.messages import assert_names
from tests.runs import tiny

PICTURES = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
FLIPS = {"horizontal": [(), (2,)], "both": [(), (2,), (1,), (1, 2)]}


@pytest.fixture(params=["auto", "last"], scope="module")
def model(request):
    return tiny(depths=request.param, dropout=0.0)


@pytest.mark.parametrize("mirror", FLIPS)
def test_its_features_are_the_mean_of_a_pass_for_each_image(model, mirror):
    passes = [kertl.extract(model, np.flip(PICTURES, flip), engine="keras").values for flip in FLIPS[mirror]]
    found = kertl.extract(mirrored(model, mirror), PICTURES, engine="keras").values
    assert np.abs(passes[0] - passes[1]).max() > 1e-3
    np.testing.assert_allclose(found, np.mean(passes, axis=0), atol=1e-5)


@pytest.mark.parametrize("mirror", FLIPS)
def test_it_predicts_the_same_for_an_image_and_its_mirror_images(model, mirror):
    plain = mirrored(model, mirror)
    for flip in FLIPS[mirror]:
        np.testing.assert_allclose(plain(np.flip(PICTURES, flip)), plain(PICTURES), atol=1e-6)
    assert np.abs(plain(PICTURES) - model(PICTURES)).max() > 1e-5


def test_it_shares_the_weights_and_is_saved_as_it_is(model, tmp_path):
    plain = mirrored(model, "horizontal")
    assert all(one is other for one, other in zip(plain.weights, model.weights, strict=True))
    kertl.save(plain, tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(PICTURES), plain(PICTURES), atol=1e-6)
    assert kertl.load(tmp_path / "m.keras").output_shape == model.output_shape


def test_it_is_not_cut_where_a_batch_has_several_versions_of_an_image(model):
    chain = find_chain(mirrored(model, "both"))
    assert len(chain.groups) == 2
    features = kertl.extract(mirrored(model, "both"), PICTURES, at="deep", engine="keras")
    assert len(features.values) == len(PICTURES)
    assert kertl.interpretation.grad_cam(mirrored(model, "both"), PICTURES, check=False).shape == (3, 32, 32)


def test_what_it_cannot_mirror_is_refused(model):
    with pytest.raises(ValueError, match="mirror") as caught:
        mirrored(model, "vertical")
    assert_names(caught.value, "'horizontal'", "'both'", "mirror='vertical'")
    with pytest.raises(ValueError, match="a head that takes a single vector"):
        mirrored(tiny_backbone(), "horizontal")
