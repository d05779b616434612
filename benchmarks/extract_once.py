"""How much faster are kertl's trainings than plain Keras', to the same losses, from the same files?

On the photos and the MobileNetV2 of `kertl demo`: a head alone for 20 and for 100 epochs, everything from `block_13` on
for 10, and five folds of 20 epochs. Plain Keras has the frozen backbone in its model, as its guide on transfer learning
does, with the images decoded once and kept in memory. Both sides freeze BatchNorm, go through the images in the same
order, evaluate on the validation set after each epoch (not in the folds) and on the test set at the end, with the
weights of the epoch that had the lowest validation loss.

The sides take turns in one process, from image files to the test accuracy, compilation and extraction included. For
plain Keras the decoding, the first epoch and two more are timed, and the others count as the mean of those two; in the
first round all its 20 epochs are trained, which shows what the estimate leaves out, and whether both sides reach the
same result.

    python benchmarks/extract_once.py [--rounds 3] [--work "head, 20 epochs" ...]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import keras
import numpy as np
import record
import tensorflow as tf

import kertl

# what is done: boundary, epochs, fits, learning rate, and how many times as fast kertl has to be
WORKS = {
    "head, 20 epochs": ("deep", 20, 1, 1e-3, 12),
    "head, 100 epochs": ("deep", 100, 1, 1e-3, 35),
    "from block_13, 10 epochs": ("block_13", 10, 1, 1e-5, 1.6),
    "five folds of 20 epochs": ("deep", 20, 5, 1e-3, 40),
}


def stage(at, epochs, rate):
    """Plain settings that the other side can have too."""
    return kertl.Stage(
        at,
        epochs=epochs,
        learning_rate=rate,
        schedule="constant",
        optimizer="adam",
        weight_decay=0.0,
        label_smoothing=0.0,
        augment="none",
        batch_norm="frozen",
        cache="auto",
    )


class Ours:
    """kertl, from files."""

    def train(self, at, epochs, rate):
        """The losses of each epoch and the accuracy on the test set."""
        data = cells.data()
        model = cells.model(data.class_names, dropout=0.0)
        run = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[stage(at, epochs, rate)]), verbose=0)
        return run.history, run.metrics["test"]["accuracy"]

    def folds(self, epochs, rate):
        """The mean accuracy of five folds."""
        data = cells.data()
        model = cells.model(data.class_names, dropout=0.0)
        return kertl.cross_validate(model, data, folds=5, recipe=stage("deep", epochs, rate)).mean


class Theirs:
    """Plain Keras, on images that are decoded once; the split is given."""

    def __init__(self):
        self.data = cells.data()
        self.head = cells.model(self.data.class_names, dropout=0.0).layers[-1].get_weights()

    def decode(self):
        """The images and labels of each part."""
        parts = {name: getattr(self.data, name) for name in ("train", "validation", "test")}
        return {
            name: (part.reader.take(np.arange(part.num_examples)), np.asarray(part.labels, "int32"))
            for name, part in parts.items()
        }

    def model(self, at, rate):
        """The guide's model: backbone, average, head; everything before `at` frozen, BatchNorm everywhere."""
        keras.backend.clear_session()
        classifier = keras.saving.load_model(kertl.demo.fetch_weights(), compile=False)
        backbone = classifier.layers[1]
        backbone.trainable = at != "deep"
        trains = False
        for layer in backbone.layers if at != "deep" else ():
            trains = trains or layer.name == f"{at}_expand"
            layer.trainable = trains and not isinstance(layer, keras.layers.BatchNormalization)
        inputs = keras.Input((160, 160, 3))
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
        x = keras.layers.GlobalAveragePooling2D()(backbone(x, training=False))
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
        model.layers[-1].set_weights(self.head)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, model, parts, epochs, *, validated=True):
        """Fit, in the order in which kertl goes through the images; the history, and the seconds of each epoch."""
        x, y = parts["train"]
        images, labels = tf.constant(x), tf.constant(y)
        numbers = iter(range(epochs))

        def order():
            return np.random.default_rng((self.data.train.seed, next(numbers))).permutation(len(y))

        rows = tf.data.Dataset.from_generator(order, output_signature=tf.TensorSpec((), tf.int64))
        rows = rows.apply(tf.data.experimental.assert_cardinality(len(y)))
        batches = rows.batch(32).map(lambda chosen: (tf.gather(images, chosen), tf.gather(labels, chosen))).prefetch(2)
        judged = tf.data.Dataset.from_tensor_slices(parts["validation"]).batch(32) if validated else None
        ends = [time.perf_counter()]
        watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
        best = [keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)] if validated else []
        options = {"validation_data": judged, "callbacks": [watch, *best], "verbose": 0}
        return model.fit(batches, epochs=epochs, **options).history, np.diff(ends)

    def train(self, at, epochs, rate, trained=3, fits=1):
        """Losses, accuracy, and the seconds that this many epochs take, of which `trained` are trained."""
        start = time.perf_counter()
        parts = self.decode()
        decoding = time.perf_counter() - start
        if fits > 1:  # a fold trains on four fifths of both, and is evaluated on the rest
            joined = [np.concatenate([parts[name][k] for name in ("train", "validation")]) for k in (0, 1)]
            cut = len(joined[0]) // fits
            parts = {"train": [one[cut:] for one in joined], "test": [one[:cut] for one in joined]}
        start = time.perf_counter()
        model = self.model(at, rate)
        making = time.perf_counter() - start
        history, seconds = self.fit(model, parts, min(trained, epochs), validated=fits == 1)
        start = time.perf_counter()
        accuracy = model.evaluate(*parts["test"], batch_size=32, verbose=0)[1]
        judging = time.perf_counter() - start
        fitting = sum(seconds) + (epochs - len(seconds)) * statistics.mean(seconds[1:3])
        return history, accuracy, decoding + fits * (making + fitting + judging)


def timed(work, *arguments):
    start = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - start


def same(ours, theirs, count):
    """How far the sides differ: in loss after any epoch, and in images of the test set."""
    (history, accuracy), (other, other_accuracy) = ours, theirs
    losses = max(
        abs(one - two) for name in ("loss", "val_loss") for one, two in zip(history[name], other[name], strict=True)
    )
    return losses, round(abs(accuracy - other_accuracy) * count)


def measure(name, rounds, theirs):
    """A row of the table."""
    at, epochs, fits, rate, wanted = WORKS[name]
    ours, pairs, row = Ours(), [], {}
    for number in range(rounds):
        keras.backend.clear_session()
        found, mine = timed(ours.folds, epochs, rate) if fits > 1 else timed(ours.train, at, epochs, rate)
        whole = fits == 1 and number == 0 and epochs <= 20
        history, accuracy, other = theirs.train(at, epochs, rate, epochs if whole else 3, fits)
        if whole:
            row["loss_apart"], row["test_images_apart"] = same(
                found, (history, accuracy), theirs.data.test.num_examples
            )
        pairs.append((mine, other))
        print(
            f"  {name}: kertl {mine:.1f} s, plain Keras {other:.1f} s{'' if whole else ' (extrapolated)'}", flush=True
        )
    ratios = [other / mine for mine, other in pairs]
    return {
        "work": name,
        "kertl_s": round(statistics.median(mine for mine, _ in pairs), 1),
        "keras_s": round(statistics.median(other for _, other in pairs), 1),
        "times": round(statistics.median(ratios), 1),
        "lowest": round(min(ratios), 1),
        "highest": round(max(ratios), 1),
        "asked": wanted,
        "loss_apart": f"{row['loss_apart']:.0e}" if row else "",
        "test_images_apart": row.get("test_images_apart", ""),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    arguments = parser.parse_args()
    theirs = Theirs()
    rows = [measure(name, arguments.rounds, theirs) for name in arguments.work]
    print("\n| work | plain Keras | kertl | times as fast (lowest to highest) | apart: loss, test images |")
    print("|---|---|---|---|---|")
    for row in rows:
        apart = f"{row['loss_apart']}, {row['test_images_apart']}" if row["loss_apart"] else ""
        print(
            f"| {row['work']} | {row['keras_s']:.0f} s | {row['kertl_s']:.1f} s | **{row['times']}** "
            f"({row['lowest']} to {row['highest']}) | {apart} |"
        )
    record.keep("extract_once", rows, ("keras", "tensorflow", "openvino"))


if __name__ == "__main__":
    main()
