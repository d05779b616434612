"""A head on a frozen backbone, searched with KerasTuner as in its guide: every trial runs the backbone again.

python plain_keras.py [--trials 6] [--epochs 20]
"""

import argparse
import time

import keras
import keras_tuner
from setting import INITIAL_BACKBONE, parts, pictures


class FrozenBackbone(keras_tuner.HyperModel):
    """The backbone inside the model of each trial."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The model of a trial; all trials begin with the same random numbers."""
        keras.utils.set_random_seed(0)
        backbone = keras.saving.load_model(INITIAL_BACKBONE)
        backbone.trainable = False
        inputs = keras.Input((32, 32, 3))
        x = keras.layers.GlobalAveragePooling2D()(backbone(inputs, training=False))
        x = keras.layers.Dense(hp.Choice("units", [32, 64, 128]), activation="relu")(x)
        x = keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1))(x)
        model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
        rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, **options: object) -> keras.callbacks.History:
        """Train it."""
        train, validation, _ = parts(*pictures())
        return model.fit(*train, validation_data=validation, **options)


def search(hypermodel: keras_tuner.HyperModel, name: str, trials: int, epochs: int) -> keras_tuner.Tuner:
    """The script: nothing in it knows what is searched."""
    tuner = keras_tuner.RandomSearch(
        hypermodel,
        objective="val_accuracy",
        max_trials=trials,
        seed=1,
        directory="runs/kerastuner_search",
        project_name=name,
        overwrite=True,
    )
    start = time.perf_counter()
    tuner.search(epochs=epochs, verbose=0)
    best, seconds = tuner.oracle.get_best_trials()[0], time.perf_counter() - start
    print(f"{name}: best of {trials} trials {best.score:.4f} in {seconds:.1f} s, {best.hyperparameters.values}")
    return tuner


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    tuner = search(FrozenBackbone(), "plain", options.trials, options.epochs)
    _, _, test = parts(*pictures())
    model = tuner.get_best_models()[0]
    print(f"test accuracy {model.evaluate(*test, verbose=0)[1]:.4f}")


if __name__ == "__main__":
    main()
