"""Defective solar cells from photos, with kertl.

python train.py [--photos photos] [--model dog_breeds.h5] [--epochs 10]
"""

import argparse

import keras

import kertl


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", default="photos")
    parser.add_argument("--model", default="dog_breeds.h5")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", default="runs/quickstart")
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    backbone = kertl.load_backbone(options.model)
    data = kertl.data.from_directory(options.photos, image_size=backbone.input_shape[1:3], cache="memory")
    model = kertl.build(backbone, class_names=data.class_names)
    recipe = kertl.Recipe(
        stages=[
            kertl.Stage("deep", epochs=min(5, options.epochs), learning_rate=3e-3),
            kertl.Stage("mid", epochs=options.epochs, learning_rate=1e-4),
        ]
    )
    run = kertl.fine_tune(model, data, recipe=recipe, run_dir=options.out, verbose=2)
    print(f"test accuracy {run.metrics['test']['accuracy']:.4f}")


if __name__ == "__main__":
    main()
