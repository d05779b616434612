"""The image models of `keras.applications`, and how one is recognised inside a trained model.

The numbers are checked against the models themselves by the tests.
"""

import re
from dataclasses import dataclass

import keras

from kertl.backbones._channels import makes_three_channels
from kertl.groups import find_chain


@dataclass(frozen=True)
class Application:
    """One image model of `keras.applications`, without its top.

    Attributes:
        name: The name of its constructor.
        size: Side of the pictures that it was made for, in pixels.
        minimum: Smallest side that it takes.
        preprocessing: The preprocessing it needs, in the words of `preprocess`; "none" if it rescales inside.
        parameters: Number of weights without top, at three channels.
        groups: Number of layer groups.
        marks: Names, without trailing numbers, of the first and the last layer with weights, and how many have some.
    """

    name: str
    size: int
    minimum: int
    preprocessing: str
    parameters: int
    groups: int
    marks: tuple[str, str, int]

    @property
    def imagenet_graph_differs(self) -> bool:
        """Whether `weights="imagenet"` builds another graph than None does (one more Rescaling)."""
        return self.name.startswith("EfficientNetB")


_TABLE = (
    # name, size, minimum, preprocessing, parameters, groups, marks
    Application(
        "ConvNeXtTiny", 224, 32, "none", 27_820_128, 22, ("convnext_tiny_stem_conv", "layer_normalization", 99)
    ),
    Application(
        "ConvNeXtSmall", 224, 32, "none", 49_454_688, 40, ("convnext_small_stem_conv", "layer_normalization", 189)
    ),
    Application(
        "ConvNeXtBase", 224, 32, "none", 87_566_464, 40, ("convnext_base_stem_conv", "layer_normalization", 189)
    ),
    Application(
        "ConvNeXtLarge", 224, 32, "none", 196_230_336, 40, ("convnext_large_stem_conv", "layer_normalization", 189)
    ),
    Application(
        "ConvNeXtXLarge", 224, 32, "none", 348_147_968, 40, ("convnext_xlarge_stem_conv", "layer_normalization", 189)
    ),
    Application("DenseNet121", 224, 32, "torch", 7_037_504, 62, ("conv1_conv", "bn", 241)),
    Application("DenseNet169", 224, 32, "torch", 12_642_880, 86, ("conv1_conv", "bn", 337)),
    Application("DenseNet201", 224, 32, "torch", 18_321_984, 102, ("conv1_conv", "bn", 401)),
    Application("EfficientNetB0", 224, 32, "none", 4_049_571, 18, ("normalization", "top_bn", 140)),
    Application("EfficientNetB1", 240, 32, "none", 6_575_239, 25, ("normalization", "top_bn", 201)),
    Application("EfficientNetB2", 260, 32, "none", 7_768_569, 25, ("normalization", "top_bn", 201)),
    Application("EfficientNetB3", 300, 32, "none", 10_783_535, 28, ("normalization", "top_bn", 228)),
    Application("EfficientNetB4", 380, 32, "none", 17_673_823, 34, ("normalization", "top_bn", 282)),
    Application("EfficientNetB5", 456, 32, "none", 28_513_527, 41, ("normalization", "top_bn", 343)),
    Application("EfficientNetB6", 528, 32, "none", 40_960_143, 47, ("normalization", "top_bn", 397)),
    Application("EfficientNetB7", 600, 32, "none", 64_097_687, 57, ("normalization", "top_bn", 485)),
    Application("EfficientNetV2B0", 224, 32, "none", 5_919_312, 23, ("stem_conv", "top_bn", 165)),
    Application("EfficientNetV2B1", 240, 32, "none", 6_931_124, 29, ("stem_conv", "top_bn", 205)),
    Application("EfficientNetV2B2", 260, 32, "none", 8_769_374, 30, ("stem_conv", "top_bn", 214)),
    Application("EfficientNetV2B3", 300, 32, "none", 12_930_622, 34, ("stem_conv", "top_bn", 250)),
    Application("EfficientNetV2S", 384, 32, "none", 20_331_360, 42, ("stem_conv", "top_bn", 314)),
    Application("EfficientNetV2M", 480, 32, "none", 53_150_388, 59, ("stem_conv", "top_bn", 452)),
    Application("EfficientNetV2L", 480, 32, "none", 117_746_848, 81, ("stem_conv", "top_bn", 628)),
    Application("InceptionV3", 299, 75, "tf", 21_802_784, 16, ("conv2d", "batch_normalization", 188)),
    Application("InceptionResNetV2", 299, 75, "tf", 54_336_736, 49, ("conv2d", "conv_7b_bn", 448)),
    Application("MobileNet", 224, 32, "tf", 3_228_864, 14, ("conv1", "conv_pw_13_bn", 54)),
    Application("MobileNetV2", 224, 32, "tf", 2_257_984, 19, ("Conv1", "Conv_1_bn", 104)),
    Application("MobileNetV3Small", 224, 32, "none", 939_120, 13, ("conv", "conv_1_bn", 86)),
    Application("MobileNetV3Large", 224, 32, "none", 2_996_352, 17, ("conv", "conv_1_bn", 108)),
    Application("NASNetMobile", 224, 32, "tf", 4_269_716, 17, ("stem_conv1", "separable_conv_2_bn_normal_left5", 388)),
    Application("NASNetLarge", 331, 32, "tf", 84_916_818, 23, ("stem_conv1", "separable_conv_2_bn_normal_left5", 532)),
    Application("ResNet50", 224, 32, "caffe", 23_587_712, 17, ("conv1_conv", "conv5_block3_3_bn", 106)),
    Application("ResNet101", 224, 32, "caffe", 42_658_176, 34, ("conv1_conv", "conv5_block3_3_bn", 208)),
    Application("ResNet152", 224, 32, "caffe", 58_370_944, 51, ("conv1_conv", "conv5_block3_3_bn", 310)),
    Application("ResNet50V2", 224, 32, "tf", 23_564_800, 17, ("conv1_conv", "post_bn", 102)),
    Application("ResNet101V2", 224, 32, "tf", 42_626_560, 34, ("conv1_conv", "post_bn", 204)),
    Application("ResNet152V2", 224, 32, "tf", 58_331_648, 51, ("conv1_conv", "post_bn", 306)),
    Application("VGG16", 224, 32, "caffe", 14_714_688, 5, ("block1_conv1", "block5_conv3", 13)),
    Application("VGG19", 224, 32, "caffe", 20_024_384, 5, ("block1_conv1", "block5_conv4", 16)),
    Application("Xception", 299, 71, "tf", 20_861_480, 14, ("block1_conv1", "block14_sepconv2_bn", 80)),
)

APPLICATIONS: dict[str, Application] = {application.name: application for application in _TABLE}


def recognise(features: keras.Model) -> Application | None:
    """The Application, of any width, that a model without classifier is; None if it is none of them.

    Models of one family that differ only in width have the same marks, and need the same preprocessing.
    """
    steps = find_chain(features).graph.steps
    names = [step.operation.name for step in steps if step.variables and not makes_three_channels(step)]
    if not names:
        return None
    marks = (_without_number(names[0]), _without_number(names[-1]), len(names))
    return next((application for application in _TABLE if application.marks == marks), None)


def _without_number(name: str) -> str:
    return re.sub(r"_\d+$", "", name)
