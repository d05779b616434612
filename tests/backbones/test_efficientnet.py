import keras
import numpy as np
import pytest

import kertl
from kertl.errors import WeightsError
from tests.families import application, lively
from tests.marks import some_of
from tests.messages import assert_names

SIDE = 32


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3)).astype("float32")


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


def legacy(model, path):
    """Write bare weights as keras.applications publishes them."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """The two graphs as Keras itself builds them, with the same weights, by what `weights` was."""
    plain = application("EfficientNetB0", SIDE)
    lively(plain, images(8))
    path = tmp_path_factory.mktemp("published") / "efficientnetb0_notop.h5"
    legacy(plain, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras.src.applications.efficientnet.file_utils.get_file", lambda *_, **__: str(path))
        imagenet = keras.applications.EfficientNetB0(include_top=False, input_shape=(SIDE, SIDE, 3))
    return {"plain": plain, "imagenet": imagenet}


def save(model, form, folder):
    path = folder / form
    if form == "bare.weights.h5":
        model.save_weights(path)
    elif form == "published.h5":
        legacy(model, path)
    else:
        x = keras.layers.GlobalAveragePooling2D()(model.output)
        keras.Model(model.input, keras.layers.Dense(4)(x)).save(path)
    return path


@pytest.mark.promise
@pytest.mark.slow
def test_the_two_graphs_differ_with_the_same_weights(graphs):
    for one, other in zip(graphs["plain"].get_weights(), graphs["imagenet"].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    plain, imagenet = (out(model, images()) for model in graphs.values())
    assert np.abs(plain - imagenet).max() > 0.01 * np.abs(plain).max()


FORMS = ["bare.weights.h5", "whole.keras", "whole.h5", "published.h5"]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("form", some_of(FORMS, "published.h5"))
@pytest.mark.parametrize("graph", ["plain", "imagenet"])
def test_a_file_gives_the_outputs_of_the_graph_that_it_was_written_from(graphs, graph, form, tmp_path):
    path = save(graphs[graph], form, tmp_path)
    if (graph, form) == ("plain", "published.h5"):
        with pytest.raises(WeightsError, match="does not tell"):
            kertl.load_backbone("EfficientNetB0", weights=path, input_shape=(SIDE, SIDE, 3))
        return
    loaded = kertl.load_backbone("EfficientNetB0", weights=path, input_shape=(SIDE, SIDE, 3))
    expected = out(graphs[graph], images())
    assert np.abs(out(loaded, images()) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_published_file_with_one_rescaling_is_refused_with_what_to_do(graphs, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = save(graphs["plain"], "published.h5", tmp_path)
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("EfficientNetB0", weights=path, input_shape=(SIDE, SIDE, 3))
    assert_names(caught.value, "EfficientNetB0", path, ".keras", ".weights.h5")
    assert_names(caught.value, tmp_path / "models", "weights='imagenet'")


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras says so before it refuses the file
def test_weights_of_another_architecture_are_refused(tmp_path):
    other = application("MobileNetV3Small", SIDE)
    other.save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(WeightsError, match="do not fit 'efficientnetb0'"):
        kertl.load_backbone("EfficientNetB0", weights=tmp_path / "small.weights.h5", input_shape=(SIDE, SIDE, 3))


def test_the_groups_of_the_two_graphs_are_the_same(graphs):
    plain, imagenet = (kertl.layer_groups(model) for model in graphs.values())
    assert [(g.name, g.parameters) for g in plain] == [(g.name, g.parameters) for g in imagenet]
