"""The fastai side of against_fastai.py: its default `fine_tune` on the weights and the split that `prepare` wrote.

The MobileNetV2 here computes the same as Keras', and the script stops if it does not: the features and pixels of eight
photos are compared with Keras'. Everything else is fastai's default: `vision_learner` with its head, its loss, its
optimizer and schedule, batches of 64, and no augmentation, as it is unless told otherwise. In a ResNet it has three
groups of layers with their own rates; here the second begins at the same place, where 1/16 of the resolution begins.

    python benchmarks/against_fastai_torch.py FOLDER [--seeds 0 1 2] [--epochs 5] [--groups 3] [--augment]
"""

import argparse
import importlib.metadata
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import (
    CategoryBlock,
    ColReader,
    ColSplitter,
    DataBlock,
    ImageBlock,
    L,
    Normalize,
    PILImage,
    Resize,
    accuracy,
    aug_transforms,
    default_split,
    params,
    set_seed,
    vision_learner,
)
from torch import nn

# Width, blocks and first stride of each stage of Sandler et al., "MobileNetV2", 2018, table 2.
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
SECOND_GROUP = 7  # block_6: the first at 1/16, as the third stage of a ResNet


class PadAsKeras(nn.Module):
    """Keras' padding before a 3x3 convolution with stride 2: nothing above and left of an even size."""

    def forward(self, x):
        """Feature maps with their border."""
        height, width = x.shape[-2:]
        return nn.functional.pad(x, (width % 2, 1, height % 2, 1))


def convolution(inputs, outputs, *, kernel=1, stride=1, groups=1, active=True):
    """Convolution, BatchNorm and, where active, ReLU6."""
    padding = kernel // 2 if stride == 1 else 0
    layers = [PadAsKeras()] if stride == 2 else []
    layers += [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if active else []))


class Block(nn.Module):
    """Widen six times, filter each channel, narrow; with the input added where the shape stays."""

    def __init__(self, inputs, outputs, stride, widen):
        super().__init__()
        width = inputs * widen
        self.expand = convolution(inputs, width) if widen > 1 else nn.Identity()
        self.depthwise = convolution(width, width, kernel=3, stride=stride, groups=width)
        self.project = convolution(width, outputs, active=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        """Feature maps of the block."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


def mobilenet_v2(weights):
    """The backbone up to its last feature maps, with the weights of Keras."""
    layers, width = [convolution(3, 32, kernel=3, stride=2)], 32
    copy(weights, layers[0], "Conv1", "bn_Conv1")
    for outputs, blocks, first in STAGES:
        for place in range(blocks):
            block = Block(width, outputs, first if place == 0 else 1, 6 if len(layers) > 1 else 1)
            name = f"block_{len(layers) - 1}" if len(layers) > 1 else "expanded_conv"
            parts = {"depthwise": block.depthwise, "project": block.project}
            parts |= {"expand": block.expand} if len(layers) > 1 else {}
            for part, module in parts.items():
                copy(weights, module, f"{name}_{part}", f"{name}_{part}_BN")
            layers.append(block)
            width = outputs
    layers.append(convolution(width, 1280))
    copy(weights, layers[-1], "Conv_1", "Conv_1_bn")
    return nn.Sequential(*layers)


def copy(weights, module, convolution_name, norm_name):
    """Give a convolution and its BatchNorm the weights of the Keras layers of these names."""
    kernel = weights[f"{convolution_name}/kernel"]
    found = next(layer for layer in module if isinstance(layer, nn.Conv2d))
    norm = next(layer for layer in module if isinstance(layer, nn.BatchNorm2d))
    # Keras: height, width, inputs, outputs; of a depthwise one height, width, channels, 1
    order = (2, 3, 0, 1) if found.groups > 1 else (3, 2, 0, 1)
    pairs = {
        found.weight: kernel.transpose(order),
        norm.weight: weights[f"{norm_name}/gamma"],
        norm.bias: weights[f"{norm_name}/beta"],
        norm.running_mean: weights[f"{norm_name}/moving_mean"],
        norm.running_var: weights[f"{norm_name}/moving_variance"],
    }
    for target, values in pairs.items():
        if tuple(target.shape) != values.shape:
            raise SystemExit(f"{convolution_name} is of shape {values.shape}, not {tuple(target.shape)}.")
        target.data.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def check(weights):
    """Stop unless pixels and features are those of Keras."""
    resize = Resize(160, method="squish")
    pixels = np.stack([np.asarray(resize(PILImage.create(file))) for file in weights["photo_files"]])
    levels = int(np.abs(pixels.astype(int) - weights["photos"]).max())
    images = torch.from_numpy(weights["photos"].transpose(0, 3, 1, 2).astype("float32")) / 127.5 - 1
    with torch.no_grad():
        features = mobilenet_v2(weights).eval()(images).numpy().transpose(0, 2, 3, 1)
    error = float(np.abs(features - weights["features"]).max() / np.abs(weights["features"]).max())
    print(f"difference from Keras: pixels {levels} of 255, features {error:.1e} of the largest")
    if levels or not error <= 1e-4:
        raise SystemExit("This is not the same network on the same pixels, so there is nothing to compare.")


def halves(model):
    """The groups that `vision_learner` makes of a ResNet: the body in two, and the head."""
    return L(model[0][:SECOND_GROUP], model[0][SECOND_GROUP:], model[1:]).map(params)


def train(folder, seed, arguments):
    """From the files to the accuracy on the test set."""
    set_seed(seed, reproducible=True)
    start = time.perf_counter()
    rows = pd.read_csv(folder / f"seed{seed}.csv")
    rows["is_valid"] = rows["split"] == "validation"
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=ColReader("file"),
        get_y=ColReader("label"),
        splitter=ColSplitter("is_valid"),
        item_tfms=Resize(160, method="squish"),
        batch_tfms=[*(aug_transforms() if arguments.augment else ()), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    dls = block.dataloaders(rows[rows["split"] != "test"].reset_index(drop=True), num_workers=arguments.workers)
    weights = dict(np.load(folder / "mobilenet_v2.npz"))
    learn = vision_learner(
        dls,
        # fastai cuts a model at its last pooling
        lambda pretrained: mobilenet_v2(weights).append(nn.AdaptiveAvgPool2d(1)),
        splitter=halves if arguments.groups == 3 else default_split,
        metrics=accuracy,
    )
    with learn.no_bar():
        learn.fine_tune(arguments.epochs)
        test = dls.test_dl(rows[rows["split"] == "test"].reset_index(drop=True), with_labels=True)
        answers, labels = learn.get_preds(dl=test)
    score = float(accuracy(answers, labels))
    seconds = time.perf_counter() - start
    extra = [f"{arguments.groups} groups", *(["aug_transforms"] if arguments.augment else [])]
    return {
        "what": f"fastai, fine_tune({arguments.epochs}), {', '.join(extra)}",
        "seed": seed,
        "epochs": f"1+{arguments.epochs}",
        "accuracy": score,
        "seconds": seconds,
        "versions": " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("fastai", "torch")),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--groups", type=int, choices=[2, 3], default=3)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    check(dict(np.load(arguments.folder / "mobilenet_v2.npz")))
    path = arguments.folder / "fastai.json"
    for seed in arguments.seeds:
        row = train(arguments.folder, seed, arguments)
        print(row, flush=True)
        before = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*before, row], indent=2))


if __name__ == "__main__":
    main()
