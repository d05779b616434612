"""The same job as train.py, in plain Keras: what has to be known and written without kertl.

python plain_keras.py [--photos photos] [--model dog_breeds.h5] [--epochs 10]
"""

import argparse
from pathlib import Path

import keras
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", default="photos")
    parser.add_argument("--model", default="dog_breeds.h5")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    # Data: no check of the files, no EXIF rotation; the split must have been made by hand.
    def read(part: str):
        return keras.utils.image_dataset_from_directory(
            Path(options.photos) / part,
            image_size=(160, 160),
            shuffle=part == "train",
            seed=0,
            label_mode="categorical",
        )

    train, validation, test = read("train").cache(), read("validation").cache(), read("test").cache()

    # The backbone: one has to know that its classifier is three layers, and that it takes -1..1.
    classifier = keras.saving.load_model(options.model, compile=False)
    backbone = classifier.layers[1]
    augment = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomBrightness(0.1, value_range=(0, 255)),
        ]
    )
    inputs = keras.Input((160, 160, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(augment(inputs))
    # `training=False` here is ignored by `fit`: BatchNorm stays still only because its layers are not trainable.
    x = backbone(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))

    # Stage 1: the head. Stage 2: from block_13 on, with BatchNorm frozen by hand, and a new compile.
    backbone.trainable = False
    fit(model, train, validation, epochs=min(5, options.epochs), rate=3e-3)
    backbone.trainable = True
    open_for_training = False
    for layer in backbone.layers:
        open_for_training = open_for_training or layer.name == "block_13_expand"
        layer.trainable = open_for_training and not isinstance(layer, keras.layers.BatchNormalization)
    fit(model, train, validation, epochs=options.epochs, rate=1e-4)

    answers = model.predict(test, verbose=0).argmax(axis=1)
    truth = np.concatenate([labels for _, labels in test.as_numpy_iterator()]).argmax(axis=1)
    print(f"test accuracy {np.mean(answers == truth):.4f}")


def fit(model, train, validation, *, epochs: int, rate: float) -> None:
    """One stage; the optimizer forgets what the previous one had learnt, and augmentation ends up inside the model."""
    steps = int(train.cardinality()) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 25, steps, warmup_target=rate, warmup_steps=steps * 3 // 10
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
    )
    stopping = keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)
    model.fit(train, validation_data=validation, epochs=epochs, callbacks=[stopping], shuffle=False, verbose=2)


if __name__ == "__main__":
    main()
