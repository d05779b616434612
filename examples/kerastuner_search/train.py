"""The same search, by the same script, with another hypermodel: the backbone runs once for all trials.

python train.py [--trials 6] [--epochs 20]
"""

import argparse
import dataclasses
from collections.abc import Sequence

import keras
import keras_tuner
from plain_keras import search
from setting import INITIAL_BACKBONE, parts, pictures, train_backbone

import kertl


def space(hp: keras_tuner.HyperParameters, backbones: Sequence[str]) -> kertl.search.Candidate:
    """What plain_keras.py searches."""
    units = hp.Choice("units", [32, 64, 128])
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    stage = kertl.Stage(
        "deep",
        learning_rate=rate,
        schedule="constant",
        optimizer="adam",
        weight_decay=0.0,
        label_smoothing=0.0,
        augment="none",
    )
    head = kertl.Head(hidden_units=(units,), dropout=dropout, batch_norm=False, initializer="glorot_uniform")
    return kertl.search.Candidate(backbones[0], kertl.Recipe(stages=[stage]), head)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    if not INITIAL_BACKBONE.exists():
        train_backbone(min(3, options.epochs))
    train, validation, test = parts(*pictures())
    names = [str(digit) for digit in range(10)]
    data = kertl.data.from_dataset(train, validation=validation, test=test, class_names=names, seed=0)
    backbone = kertl.load_backbone(keras.saving.load_model(INITIAL_BACKBONE))
    hypermodel = kertl.search.TransferHyperModel([backbone], data, space=space)
    tuner = search(hypermodel, "kertl", options.trials, options.epochs)

    candidate = hypermodel.candidate(tuner.get_best_hyperparameters()[0])
    keras.utils.set_random_seed(0)
    model = kertl.build(backbone, class_names=data.class_names, head=candidate.head)
    stage = dataclasses.replace(candidate.recipe.stages[0], epochs=options.epochs)
    run = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[stage]), verbose=0)
    print(f"test accuracy {run.metrics['test']['accuracy']:.4f}")


if __name__ == "__main__":
    main()
