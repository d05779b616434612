"""How near does kertl come to a hand-written loop on a GPU? Extraction and training on JAX, with images in memory.

The hand-written side is one jitted function over batches that are on the device already: no data set, no metrics, no
callbacks; for training it has the same network, loss and optimizer. kertl does the whole job: `kertl.extract` takes
arrays and gives arrays, and `kertl.fine_tune` trains a stage on images ("frozen" is the head with `cache=False`). Each
pair is measured in one process, in float32, and the numbers are medians of images per second; neither compilation nor
the first epoch is counted. For an extraction all images are there eight times over.

    KERAS_BACKEND=jax python benchmarks/gpu.py [--models MobileNetV2 ResNet50] [--size 160] [--batch 128]
        [--images 8192]

Weights are random, and images are noise: neither changes the arithmetic. The answer is in docs/design/hardware.md, the
rows in `benchmarks/results/gpu.csv`.
"""

import argparse
import dataclasses
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import record

import kertl
from kertl.features._job import batch_size

REPEATED = 8
"""How often the images are there for an extraction, which takes some tenths of a second to begin."""

STAGES = {
    "frozen": kertl.Stage("deep", augment="none", cache=False),
    "mid": kertl.Stage("mid", augment="none", cache=False),
    "full": kertl.Stage("full", augment="none"),
}


def built(name, size):
    """A classifier of ten classes."""
    keras.utils.set_random_seed(0)
    return kertl.build(name, num_classes=10, weights=None, input_shape=(size, size, 3))


def extraction(name, images, rounds):
    """Images per second of the hand-written loop and of `kertl.extract`."""
    model = built(name, images.shape[1])
    prefix, _ = kertl.split(model, "deep")
    weights = [[one.value for one in held] for held in (prefix.trainable_variables, prefix.non_trainable_variables)]

    @jax.jit
    def forward(weights, batch):
        return prefix.stateless_call(*weights, batch.astype("float32"), training=False)[0]

    size = batch_size()
    on_device = [jax.device_put(images[start : start + size]) for start in range(0, len(images) - size + 1, size)]
    many = np.concatenate([images] * REPEATED)

    def alone():
        return jax.block_until_ready([forward(weights, batch) for batch in on_device * REPEATED])

    def whole():
        return kertl.extract(model, many, at="deep", verbose=False)

    alone(), whole()
    seconds = [[timed(alone), timed(whole)] for _ in range(rounds)]
    hand, ours = (statistics.median(side) for side in zip(*seconds, strict=True))
    return REPEATED * len(on_device) * size / hand, len(many) / ours


def timed(work):
    """The seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def training(name, stage, images, labels, batch, rounds):
    """Images per second of the hand-written loop and of an epoch of `kertl.fine_tune`."""
    ours = by_kertl(name, stage, images, labels, batch, rounds)
    return by_hand(name, stage, images, labels, batch, rounds), ours


def by_kertl(name, stage, images, labels, batch, rounds):
    """Images per second of an epoch of `fine_tune`, the first one left out."""
    data = kertl.data.from_arrays(images, labels, validation=0, test=0, batch_size=batch)
    ends = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: ends.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()),
    )
    recipe = kertl.Recipe(stages=[dataclasses.replace(stage, epochs=rounds + 1)])
    kertl.fine_tune(built(name, images.shape[1]), data, recipe=recipe, callbacks=[watch], verbose=0)
    seconds = [end - begin for begin, end in zip(ends[2::2], ends[3::2], strict=True)]
    return len(images) / statistics.median(seconds)


def by_hand(name, stage, images, labels, batch, rounds):
    """Images per second of a jitted step over batches that are on the device."""
    model = kertl.stage_model(built(name, images.shape[1]), at=stage.at)
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=1e-4)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()

    def loss(trained, rest, images, labels):
        predicted, rest = model.stateless_call(trained, rest, images.astype("float32"), training=True)
        return loss_of(labels, predicted), rest

    @jax.jit(donate_argnums=0)
    def step(state, images, labels):
        trained, rest, moments = state
        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(trained, rest, images, labels)
        trained, moments = optimizer.stateless_apply(moments, gradients, trained)
        return (trained, rest, moments), value

    def copied(variables):
        return [jnp.array(variable.value, copy=True) for variable in variables]

    state = tuple(map(copied, (model.trainable_variables, model.non_trainable_variables, optimizer.variables)))
    starts = range(0, len(images) - batch + 1, batch)
    held = [(jax.device_put(images[at : at + batch]), jax.device_put(labels[at : at + batch])) for at in starts]

    def epoch():
        nonlocal state
        for images, labels in held:
            state, value = step(state, images, labels)
        return float(value)

    epoch()
    return len(held) * batch / statistics.median(timed(epoch) for _ in range(rounds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["MobileNetV2", "ResNet50"])
    parser.add_argument("--what", nargs="+", default=["extraction", *STAGES], choices=["extraction", *STAGES])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    dice = np.random.default_rng(0)
    images = dice.integers(0, 256, (options.images, options.size, options.size, 3), dtype="uint8")
    labels = np.arange(options.images) % 10
    for name in options.models:
        for what in options.what:
            if what == "extraction":
                hand, ours = extraction(name, images, options.rounds)
            else:
                hand, ours = training(name, STAGES[what], images, labels, options.batch, options.rounds)
            row = {
                "device": jax.devices()[0].device_kind,
                "model": name,
                "size": options.size,
                "batch": batch_size() if what == "extraction" else options.batch,
                "what": what,
                "by_hand": round(hand),
                "kertl": round(ours),
                "ratio": f"{ours / hand:.2f}",
            }
            print(*row.values(), sep=", ", flush=True)
            record.keep("gpu", [row], packages=("keras", "jax"))
            keras.backend.clear_session()


if __name__ == "__main__":
    main()
