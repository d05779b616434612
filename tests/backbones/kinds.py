"""A small member of every kind of backbone that `load_backbone` takes, for the contract that all of them keep."""

from dataclasses import dataclass, field, replace

import keras
import numpy as np

import kertl
from tests.families import FAMILIES, small_classifier

TRANSFORMER = {"patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 16}


def hub(family, **config):
    import keras_hub

    return getattr(keras_hub.models, f"{family}Backbone")(**config)


def cv(family, **config):
    import keras_cv

    return getattr(keras_cv.models, f"{family}Backbone")(include_rescaling=True, **config)


@dataclass(frozen=True)
class Kind:
    """How a member is loaded: what makes its source, the side of its pictures, and further arguments."""

    source: object
    side: int = 32
    arguments: dict = field(default_factory=dict)
    package: str | None = None
    pooling: str = "avg"
    # Ends of the names of weights that get no gradient: softmax does not change when all keys are shifted.
    still: tuple[str, ...] = ()
    # Whether its layers load from a file outside of the class that they were made for.
    truncates: bool = True

    def load(self):
        keras.utils.set_random_seed(0)
        side = (self.side, self.side, 3)
        return kertl.load_backbone(self.source(), input_shape=side, **self.arguments)

    def images(self, count=4):
        return np.random.default_rng(0).integers(0, 256, (count, self.side, self.side, 3)).astype("float32")


def of_hub(family, pooling="avg", still=(), side=32, **config):
    return Kind(lambda: hub(family, **config), side, {"preprocessing": "tf"}, "keras_hub", pooling, still)


def of_cv(family, side=32, **config):
    return Kind(lambda: cv(family, **config), side, {}, "keras_cv")


def of_applications(name, side):
    return Kind(lambda: name, side, {"weights": None})


PICTURE = {"image_shape": (32, 32, 3)}
_EFFICIENT = {
    "stackwise_kernel_sizes": [3, 3],
    "stackwise_num_repeats": [1, 2],
    "stackwise_input_filters": [32, 16],
    "stackwise_output_filters": [16, 24],
    "stackwise_expansion_ratios": [1, 4],
    "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
    "stackwise_strides": [1, 2],
    "width_coefficient": 0.5,
    "depth_coefficient": 1.0,
}
_MOBILE = {
    "stackwise_expansion": [[8, 16], [16, 16]],
    "stackwise_num_blocks": [2, 2],
    "stackwise_num_filters": [[8, 8], [16, 16]],
    "stackwise_kernel_size": [[3, 3], [5, 5]],
    "stackwise_num_strides": [[2, 1], [2, 1]],
    "stackwise_se_ratio": [[None, None], [0.25, 0.25]],
    "stackwise_activation": [["relu", "relu"], ["hard_swish", "hard_swish"]],
    "stackwise_padding": [[1, 1], [2, 2]],
    "output_num_filters": 32,
    "depthwise_filters": 8,
    "depthwise_stride": 2,
    "depthwise_residual": False,
    "last_layer_filter": 32,
    "squeeze_and_excite": 0.5,
    "image_shape": (64, 64, 3),
}
_RESIDUAL = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 16],
    "stackwise_num_blocks": [1, 2],
    "stackwise_num_strides": [1, 2],
}

# The kinds of `make test`, of `make promises`, and of `make test-all`.
QUICK = {
    "trained": Kind(small_classifier),
    "VGG16": of_applications("VGG16", 32),
    "hub ViT": of_hub("ViT", "token", ("key/bias",), mlp_dim=32, dropout_rate=0.1, **PICTURE, **TRANSFORMER),
    "hub ResNet34": of_hub("ResNet", block_type="basic_block_vd", **_RESIDUAL),
    "cv ResNet": of_cv(
        "ResNet", stackwise_filters=[8, 16], stackwise_blocks=[2, 1], stackwise_strides=[1, 2], input_shape=(32, 32, 3)
    ),
}

PROMISED = {
    "hub DINOV3": of_hub(
        "DINOV3",
        "token",
        ("key/bias", "key_dense/bias", "mask_token"),
        intermediate_dim=32,
        name="dino",
        **PICTURE,
        **TRANSFORMER,
    ),
    "hub EfficientNet": of_hub("EfficientNet", stackwise_block_types=["v1", "v1"], **_EFFICIENT),
    "hub MobileNet": of_hub("MobileNet", side=64, **_MOBILE),
    "hub DenseNet": of_hub("DenseNet", stackwise_num_repeats=[2, 2]),
    "hub VGG": of_hub("VGG", stackwise_num_repeats=[1, 2], stackwise_num_filters=[4, 8]),
}

SLOW = {
    **{name: of_applications(name, side) for name, side in FAMILIES.items() if name != "VGG16"},
    "hub DeiT": of_hub("DeiT", "token", ("key/bias",), intermediate_dim=32, dropout_rate=0.1, **PICTURE, **TRANSFORMER),
    "hub DINOV2": of_hub(
        "DINOV2",
        "token",
        ("key/bias",),
        intermediate_dim=32,
        num_register_tokens=2,
        position_embedding_shape=(48, 48, 3),
        dropout_rate=0.1,
        name="dino",
        **PICTURE,
        **TRANSFORMER,
    ),
    "hub ResNetV2": of_hub("ResNet", block_type="bottleneck_block", use_pre_activation=True, **_RESIDUAL),
    "hub Swin": of_hub(
        "SwinTransformer",
        side=64,
        image_shape=(64, 64, 3),
        patch_size=4,
        embed_dim=16,
        depths=(2, 2),
        num_heads=(2, 4),
        window_size=4,
    ),
    "cv DenseNet": of_cv("DenseNet", stackwise_num_repeats=[2, 2], input_shape=(32, 32, 3)),
    "cv CSPDarkNet": of_cv("CSPDarkNet", stackwise_channels=[8, 16], stackwise_depth=[1, 1], input_shape=(32, 32, 3)),
    "cv EfficientNetV1": of_cv("EfficientNetV1", input_shape=(32, 32, 3), **_EFFICIENT),
    "cv EfficientNetV2": of_cv(
        "EfficientNetV2", input_shape=(32, 32, 3), stackwise_conv_types=["fused", "unfused"], **_EFFICIENT
    ),
    "cv MobileNetV3": of_cv(
        "MobileNetV3",
        stackwise_expansion=[1, 4, 6],
        stackwise_filters=[8, 8, 16],
        stackwise_kernel_size=[3, 3, 5],
        stackwise_stride=[2, 2, 1],
        stackwise_se_ratio=[0.25, None, 0.25],
        stackwise_activation=["relu", "relu", "hard_swish"],
        input_shape=(32, 32, 3),
    ),
    "cv VGG16": of_cv("VGG16", include_top=False, input_shape=(32, 32, 3)),
}
for name in ("hub Swin", "cv CSPDarkNet", "cv MobileNetV3"):
    SLOW[name] = replace(SLOW[name], truncates=False)
