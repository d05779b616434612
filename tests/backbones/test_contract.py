"""What holds for every kind of backbone, whatever package it comes from."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kertl
from tests.backbones.kinds import PROMISED, QUICK, SLOW
from tests.families import lively
from tests.marks import promised

KINDS = {**QUICK, **PROMISED, **SLOW}

# Swin's attention says so of the mask that Keras infers, whatever is done with it.
pytestmark = pytest.mark.filterwarnings("ignore:Layer 'attn' .of type WindowAttention. was passed an input with a mask")


@pytest.fixture(
    scope="module",
    params=[
        *QUICK,
        *(promised(name) for name in PROMISED),
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
    ids=str,
)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def backbone(kind):
    return lively(kind.load(), kind.images(8))


@pytest.fixture(scope="module")
def model(backbone, kind):
    keras.utils.set_random_seed(1)
    return kertl.build(backbone, class_names=["a", "b"], head=kertl.Head(pooling=kind.pooling))


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


def test_every_weight_is_in_one_group_and_there_are_groups_to_choose_from(backbone):
    groups = kertl.layer_groups(backbone)
    assert len(groups) >= 2
    assert len({group.name for group in groups}) == len(groups)
    in_groups = [id(variable) for group in groups for variable in group.variables]
    assert sorted(in_groups) == sorted({id(variable) for variable in backbone.variables})
    assert sum(group.parameters for group in groups) == pytest.approx(backbone.count_params(), abs=3)
    shape = backbone.output_shape[1:]
    assert groups[-1].output_shape == shape
    assert all(group.stride == 0 for group in groups) == (len(shape) == 2)


def test_suffix_of_prefix_is_the_backbone_at_every_boundary(backbone, kind):
    x = kind.images()
    whole = out(backbone, x)
    for k in range(len(kertl.layer_groups(backbone)) + 1):
        prefix, suffix = kertl.split(backbone, k)
        assert np.abs(out(suffix, prefix(x)) - whole).max() <= 1e-5 * np.abs(whole).max(), f"the last {k} groups"


def test_freeze_lets_exactly_the_groups_behind_the_boundary_train(model):
    groups = kertl.layer_groups(model)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    of_norms = {id(variable) for layer in norms for variable in layer.variables if "head_" not in layer.name}
    buffers = {id(variable) for variable in model.non_trainable_variables if "seed" in variable.path}
    for number, group in enumerate(groups):
        kertl.freeze(model, group.name)
        behind = {id(variable) for later in groups[number:] for variable in later.variables if variable.trainable}
        trained = {id(variable) for variable in model.trainable_variables}
        assert trained == behind - of_norms - buffers, group.name
        assert trained
    kertl.freeze(model, "deep")
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in groups[-1].variables if v.trainable}


@pytest.mark.parametrize("at", ["deep", "mid"])
def test_in_a_step_of_training_exactly_the_announced_weights_move(model, kind, at):
    stage = kertl.stage_model(model, at)
    announced = {id(variable) for variable in stage.trainable_variables}
    before = [np.array(weight) for weight in model.weights]
    # The rate is high since ConvNeXt's layer scale of 1e-6 makes its gradients as small.
    stage.compile(keras.optimizers.SGD(1e4), "sparse_categorical_crossentropy")
    stage.train_on_batch(kind.images(), np.array([0, 1, 0, 1]))
    for weight, old in zip(model.weights, before, strict=True):
        moved = not np.array_equal(np.array(weight), old)
        if id(weight) not in announced:
            assert not moved, weight.path
        elif not weight.path.endswith(kind.still):
            assert moved, weight.path
    for weight, old in zip(model.weights, before, strict=True):
        weight.assign(old)


def test_what_lies_before_the_boundary_is_in_inference_mode_while_training(model, kind):
    x = kind.images()
    stage = kertl.stage_model(model, "deep")
    prefix, _ = kertl.split(model, "deep")
    features = keras.Model(stage.input, stage.get_layer("frozen_prefix").output)
    np.testing.assert_array_equal(features(x, training=True), prefix(x, training=False))


def test_a_saved_model_loads_through_kertl_and_is_a_backbone_again(model, backbone, kind, tmp_path):
    kertl.save(model, tmp_path / "m.keras")
    loaded = kertl.load(tmp_path / "m.keras")
    x = kind.images()
    np.testing.assert_allclose(out(loaded, x), out(model, x), rtol=1e-5, atol=1e-6)
    again = kertl.load_backbone(tmp_path / "m.keras")
    expected = out(backbone, x)
    assert np.abs(out(again, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert [g.name for g in kertl.layer_groups(again)] == [g.name for g in kertl.layer_groups(backbone)]
    built = kertl.build(again, num_classes=3, head=kertl.Head(pooling=kind.pooling))
    kertl.save(built, tmp_path / "again.keras")
    np.testing.assert_allclose(out(kertl.load(tmp_path / "again.keras"), x), out(built, x), rtol=1e-5, atol=1e-6)


def test_a_truncated_backbone_is_built_saved_and_loaded_or_refused(kind, tmp_path):
    source = kind.source()
    size = (kind.side, kind.side, 3)
    names = [group.name for group in kertl.layer_groups(kind.load())]
    if not kind.truncates:
        with pytest.raises(ValueError, match=rf"`truncate_at` must be None .*truncate_at='{names[-2]}'"):
            kertl.load_backbone(source, input_shape=size, truncate_at=names[-2], **kind.arguments)
        return
    shorter = kertl.load_backbone(source, input_shape=size, truncate_at=names[-2], **kind.arguments)
    assert len(kertl.layer_groups(shorter)) == len(names) - 1
    model = kertl.build(shorter, num_classes=2, head=kertl.Head(pooling=kind.pooling))
    kertl.save(model, tmp_path / "m.keras")
    x = kind.images()
    np.testing.assert_allclose(out(kertl.load(tmp_path / "m.keras"), x), out(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.promise
def test_models_of_every_kind_load_in_a_process_without_kertl(tmp_path):
    names = {}
    for number, (name, kind) in enumerate({**QUICK, **PROMISED}.items()):
        model = kertl.build(kind.load(), num_classes=2, head=kertl.Head(pooling=kind.pooling))
        kertl.save(model, tmp_path / f"{number}.keras")
        np.save(tmp_path / f"{number}x.npy", kind.images())
        np.save(tmp_path / f"{number}y.npy", out(model, kind.images()))
        names[number] = (name, kind.package)
    code = (
        "import sys; sys.modules['kertl'] = None\n"
        "import importlib, keras, numpy as np\n"
        f"for number, (name, package) in {names!r}.items():\n"
        "    if package: importlib.import_module(package)\n"
        "    model = keras.saving.load_model(f'{number}.keras')\n"
        "    found = keras.ops.convert_to_numpy(model(np.load(f'{number}x.npy')))\n"
        "    np.testing.assert_allclose(found, np.load(f'{number}y.npy'), rtol=1e-5, atol=1e-6, err_msg=name)\n"
        "print('done')\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["done"], done.stderr[-3000:]
