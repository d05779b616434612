"""A classifier of digits from scanner A is adapted to scanner B, of which no label is used.

python train.py [--epochs 10] [--out runs/domain_adaptation]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from scanners import NAMES, small_backbone, two_scanners

import kertl


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/domain_adaptation"))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    (x_a, y_a), (x_b, y_b) = two_scanners()
    half = len(x_b) // 2

    # The classifier of scanner A.
    data = kertl.data.from_arrays(x_a, y_a, class_names=NAMES, test=0)
    model = kertl.build(small_backbone(), class_names=NAMES, head=kertl.Head(dropout=0.0))
    stage = kertl.Stage("full", epochs=options.epochs, learning_rate=5e-3, batch_norm="train", augment="none")
    model = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[stage]), verbose=2).model
    kertl.save(model, options.out / "scanner_a.keras")

    # How far B is from A, and where it begins. The images of A that were not trained on are the fair comparison.
    print(kertl.shift(model, data.validation, x_b[:half]))

    # The first half of B without labels; the second half, with labels, only tells how it went.
    source = kertl.adaptation.SourceFeatures.of(model, data)
    source.save(options.out / "source_features.npz")
    print(f"as it was: accuracy on B {accuracy(model, x_b[half:], y_b[half:]):.4f}")
    for method in ("restyle", "align", "coral", "pseudo", "deep_coral", "mmd", "dann"):
        adapted = kertl.adapt(model, x_b[:half], source=source, method=method)
        print(f"{method}: accuracy on B {accuracy(adapted.model, x_b[half:], y_b[half:]):.4f}")
    # Of these networks BatchNorm was trained along, so measuring it anew on B helps most; it needs images of A.
    for method in ("adabn", "tent"):
        adapted = kertl.adapt(model, x_b[:half], source=data, method=method)
        print(f"{method}: accuracy on B {accuracy(adapted.model, x_b[half:], y_b[half:]):.4f}")

    # Most pictures of B look alike to the model; that this is the scanner, and not the digits, has to be said.
    adapted = kertl.adapt(model, x_b[:half], source=source, shares=dict.fromkeys(NAMES, 0.1))
    kertl.save(adapted.model, options.out / "scanner_b.keras")
    print(adapted)
    print(f"accuracy on B {accuracy(adapted.model, x_b[half:], y_b[half:]):.4f}")


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Share of the pictures that are predicted correctly."""
    return float(np.mean(kertl.predict(model, x).argmax(axis=1) == y))


if __name__ == "__main__":
    main()
