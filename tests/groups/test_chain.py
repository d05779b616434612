import keras
import numpy as np
import pytest

import kertl
from kertl.groups import features_of
from tests.families import EACH_FAMILY, FAMILIES, application, small_backbone, small_classifier
from tests.marks import some_of


def names(model):
    return [group.name for group in kertl.layer_groups(model)]


def test_groups_are_blocks_with_their_shapes_strides_and_parameters():
    groups = kertl.layer_groups(small_classifier())
    assert [(g.name, g.output_shape, g.stride, g.boundary) for g in groups] == [
        ("stem_conv", (16, 16, 8), 2, "block"),
        ("block1", (16, 16, 8), 2, "main"),
        ("block2", (8, 8, 16), 4, "block"),
        ("block3", (8, 8, 16), 4, "main"),
        ("block4", (24,), 8, "main"),
        ("head", (3,), 0, "main"),
    ]
    assert groups[0].parameters == 3 * 3 * 3 * 8 + 8 + 4 * 8
    assert sum(group.parameters for group in groups) == small_classifier().count_params()


def test_preprocessing_padding_and_pooling_belong_to_the_groups_they_feed_or_follow():
    groups = {group.name: [layer.name for layer in group.layers] for group in kertl.layer_groups(small_classifier())}
    assert groups["stem_conv"][0] == "rescaling"
    assert groups["block4"][-1] == "pooling"
    assert groups["head"][0] == "head_dropout"
    padded = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3, name="first"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.ZeroPadding2D(name="padding"),
            keras.layers.Conv2D(4, 3, name="second"),
        ]
    )
    assert [[layer.name for layer in group.layers] for group in kertl.layer_groups(padded)] == [
        ["first", "pool"],
        ["padding", "second"],
    ]


def test_blocks_of_mobilenet_v2_have_their_usual_names():
    found = names(application("MobileNetV2", 64))
    assert found == ["Conv1", "expanded_conv", *(f"block_{number}" for number in range(1, 17)), "Conv_1"]


def test_main_boundary_has_the_fewest_values_between_two_halvings():
    groups = kertl.layer_groups(application("MobileNetV2", 160))
    for stride in {group.stride for group in groups[:-1]} - {32}:
        run = [group for group in groups if group.stride == stride]
        values = [int(np.prod(group.output_shape)) for group in run]
        (main,) = (number for number, group in enumerate(run) if group.boundary == "main")
        assert values[main] == min(values)
        assert min(values) not in values[main + 1 :]


@pytest.mark.parametrize("name", EACH_FAMILY)
def test_every_variable_is_in_one_group_and_one_tensor_crosses_but_in_nasnet(name):
    model = application(name, FAMILIES[name])
    groups = kertl.layer_groups(model)
    assert any(isinstance(group.output_shape, list) for group in groups) == (name == "NASNetMobile")
    in_groups = [id(variable) for group in groups for variable in group.variables]
    assert sorted(in_groups) == sorted({id(variable) for variable in model.variables})
    assert sum(group.parameters for group in groups) == pytest.approx(model.count_params(), abs=3)


def test_no_boundary_falls_between_two_uses_of_a_layer_with_weights():
    inputs = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same", name="shared")
    x = keras.layers.Conv2D(3, 3, padding="same", name="between")(shared(inputs))
    x = keras.layers.Conv2D(3, 3, padding="same", name="after")(shared(x))
    groups = kertl.layer_groups(keras.Model(inputs, x))
    assert [[layer.name for layer in group.layers] for group in groups] == [["shared", "between"], ["after"]]


def test_a_free_input_size_gives_strides_as_at_224_pixels():
    free = kertl.layer_groups(keras.applications.MobileNetV2(weights=None, include_top=False))
    fixed = kertl.layer_groups(application("MobileNetV2", 224))
    assert [(g.name, g.stride, g.boundary) for g in free] == [(g.name, g.stride, g.boundary) for g in fixed]


CLASSIFIERS = ["MobileNetV2", "MobileNetV3Small", "VGG16", "ConvNeXtTiny"]


@pytest.mark.parametrize("classifier_activation", some_of(["softmax", None], "softmax", late=[None]))
@pytest.mark.parametrize("name", some_of(CLASSIFIERS, late=("ConvNeXtTiny", "MobileNetV3Small")))
def test_a_classifier_is_cut_off_before_its_pooling(name, classifier_activation):
    constructor = getattr(keras.applications, name)
    whole = constructor(weights=None, input_shape=(64, 64, 3), classes=5, classifier_activation=classifier_activation)
    features = features_of(whole)
    assert features.output_shape == application(name, 64).output_shape
    assert names(whole) == [*names(application(name, 64)), "head"]


def test_a_pooled_backbone_is_cut_off_before_its_pooling_and_a_bare_one_not_at_all():
    assert features_of(application("MobileNetV2", 64, pooling="avg")).output_shape == (None, 2, 2, 1280)
    bare = small_backbone()
    assert len(features_of(bare).layers) == len(bare.layers)


def test_a_subclassed_model_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match=r"`model` must be .*functional or sequential"):
        kertl.layer_groups(Subclassed())


def test_several_inputs_are_refused():
    a, b = keras.Input((4,)), keras.Input((4,))
    with pytest.raises(ValueError, match=r"`model` must have one input .*model='two' with 2 inputs"):
        kertl.layer_groups(keras.Model([a, b], keras.layers.Add()([a, b]), name="two"))
