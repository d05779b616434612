"""What holds up an epoch of "mid", and would it be quicker with frozen BatchNorm folded into its convolutions?

One step on cached features at the boundary, 160 px and batches of 32, on TensorFlow, many in one compiled function as
kertl trains them. Sides in turns, in one process: the suffix as it is ("as it is"); each frozen BatchNorm folded into
the convolution in front of it, whose kernel is multiplied by its factor in every step, so that gradients go through the
product ("folded"); BatchNorm left out altogether, which computes something else and is the most that any folding could
gain ("without"); and the suffix as it is, gradients alone, without the optimizer ("gradients"). Ratios are medians over
rounds. Then a profile of the suffix as it is: the shares of the kinds of operations.

    python benchmarks/suffix_step.py [--models MobileNetV2 ResNet50] [--steps 8] [--rounds 5]

What came out, and what follows from it, is in docs/design/features.md; rows in `benchmarks/results/suffix_step.csv`.
"""

import argparse
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record
import tensorflow as tf
from keras import ops

import kertl
from kertl.diagnosis._trace import read_trace, trace_files
from kertl.groups import find_chain, replay
from kertl.model import train_groups

BATCH, SIZE = 32, 160
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
KINDS = {  # by the names of operations in the graph, the first that fits
    "BatchNorm": r"batchnorm",
    "optimizer": r"adam_w",
    "depthwise": r"/depthwise(/|$)",
    "convolution": r"convolution|MatMul",
    "rest": r"",
}


class Folded(keras.layers.Layer):
    """A convolution with the frozen BatchNorm after it as a part of its kernel, or left out."""

    def __init__(self, convolution, norm, *, left_out):
        super().__init__()
        self.convolution, self.norm, self.left_out = convolution, norm, left_out

    def build(self, input_shape):
        """The layers have their weights already."""

    def call(self, x):
        """The same as both layers, but for rounding; or what the convolution gives."""
        layer, norm = self.convolution, self.norm
        if self.left_out:
            return layer(x)
        factor = ops.rsqrt(norm.moving_variance + norm.epsilon) * (norm.gamma if norm.scale else 1.0)
        shift = (norm.beta if norm.center else 0.0) - norm.moving_mean * factor
        if layer.use_bias:
            shift = shift + layer.bias * factor
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = layer.kernel * (ops.reshape(factor, layer.kernel.shape[-2:]) if depthwise else factor)
        apply = ops.depthwise_conv if depthwise else ops.conv
        return tf.nn.bias_add(apply(x, kernel, strides=layer.strides, padding=layer.padding), shift)


def folded(chain, first, *, left_out):
    """The suffix with each pair of a convolution and a frozen BatchNorm that alone takes its result as one layer."""
    steps = chain.steps(first, len(chain.groups))
    users = Counter(ref for step in steps for ref in step.inputs)
    by_input = {step.inputs[0]: step.operation for step in steps}
    pairs = {}
    for step in steps:
        after = by_input.get(step.outputs[0])
        alone = users[step.outputs[0]] == 1 and isinstance(after, keras.layers.BatchNormalization)
        if alone and type(step.operation) in CONVOLUTIONS and not after.trainable:
            pairs[id(step.operation)] = Folded(step.operation, after, left_out=left_out)
    gone = {id(pair.norm) for pair in pairs.values()}

    def call(operation, args, kwargs):
        return args[0] if id(operation) in gone else pairs.get(id(operation), operation)(*args, **kwargs)

    inputs = [keras.Input(chain.graph.shapes[ref]) for ref in chain.crossing(first)]
    entering = dict(zip(chain.crossing(first), inputs, strict=True))
    outputs = replay(steps, entering, chain.crossing(len(chain.groups)), call)
    return keras.Model(inputs, outputs[0])


def looped(suffix, features, labels, steps, *, optimizer=True):
    """Many training steps, or their gradients alone, as one compiled function."""
    suffix.compile(keras.optimizers.AdamW(1e-9), "sparse_categorical_crossentropy", jit_compile=False)

    def gradients():
        with tf.GradientTape() as tape:
            loss = suffix.compute_loss(x=features, y=labels, y_pred=suffix(features, training=True))
        return tf.add_n([tf.reduce_sum(one[..., :1]) for one in tape.gradient(loss, suffix.trainable_weights)])

    def body(number, total):
        if not optimizer:
            return number + 1, total + gradients()
        suffix.train_step((features, labels))
        return number + 1, total

    @tf.function(autograph=False)
    def many():
        begin = (tf.zeros((), tf.int32), tf.zeros(()))
        return tf.while_loop(lambda number, _: number < steps, body, begin, parallel_iterations=1)

    return many


def sides_of(name, steps):
    """The sides, by name."""
    keras.utils.set_random_seed(0)
    model = kertl.build(name, num_classes=5, weights=None, input_shape=(SIZE, SIZE, 3))
    chain = find_chain(model)
    first = chain.first_trained("mid")
    train_groups(chain, first, "frozen")
    dice = np.random.default_rng(0)
    shapes = [(BATCH, *chain.graph.shapes[ref]) for ref in chain.crossing(first)]
    features, labels = [tf.constant(np.abs(dice.normal(size=s)), tf.float32) for s in shapes], tf.range(BATCH) % 5
    given = features if len(features) > 1 else features[0], labels, steps

    def plain():
        return chain.piece(first, len(chain.groups), "suffix")

    return {
        "as it is": looped(plain(), *given),
        "folded": looped(folded(chain, first, left_out=False), *given),
        "without": looped(folded(chain, first, left_out=True), *given),
        "gradients": looped(plain(), *given, optimizer=False),
    }


def shares(work):
    """The share of each kind of operation in the time of all, from a profile."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        work()
        tf.profiler.experimental.stop()
        trace = read_trace(trace_files(Path(folder))[0])
    found = Counter()
    for name, start, stop in trace.operations:
        found[next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))] += stop - start
    return {kind: found[kind] / found.total() for kind in KINDS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["MobileNetV2", "ResNet50"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.models:
        sides = sides_of(name, options.steps)
        times = {side: [] for side in sides}
        for number in range(options.rounds + 1):
            for side, work in sides.items():
                wall, processor = time.perf_counter(), time.process_time()
                work()
                if number:  # the first one compiles
                    times[side].append((time.perf_counter() - wall, time.process_time() - processor))
        usual, rows = np.array(times["as it is"]), []
        for side, values in times.items():
            ms = np.median(values, axis=0) / options.steps * 1000
            wall, processor = np.median(usual / np.array(values), axis=0)
            row = {"model": name, "side": side, "ms": round(ms[0], 1), "processor_ms": round(ms[1], 1)}
            rows.append({**row, "times as fast": round(wall, 2), "times as fast, processor": round(processor, 2)})
            print(*rows[-1].values(), sep=", ", flush=True)
        record.keep("suffix_step", rows)
        print(name, {kind: f"{share:.0%}" for kind, share in shares(sides["as it is"]).items()}, flush=True)


if __name__ == "__main__":
    main()
