"""What can an export in 8 bits be held against?

Takes the run of a model that was trained with `Stage(quantize="int8")`, exports it, and compares its outputs on test
images of the run, in steps of 8 bits, with three computations of the same rounded network: in float by Keras, in whole
numbers by `kertl.quantization.Exact`, and by LiteRT's kernels without XNNPACK. Prints the share of outputs within one
step, the most steps, and accuracies.

    python benchmarks/eight_bits.py RUN [--images 656]
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import kertl
from kertl.evaluation import run_images
from kertl.quantization import STEP, Exact, noted_network

BATCH = 32


def by_litert(path, images, resolver):
    """What an export says, by some kernels."""
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=resolver)
    entry, end = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    said = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        interpreter.resize_tensor_input(entry, batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry, batch)
        interpreter.invoke()
        said.append(interpreter.get_tensor(end).copy())
    return np.concatenate(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=656)
    options = parser.parse_args()
    model = kertl.load(options.run)
    network = noted_network(model)
    if network is None:
        parser.error("the model of the run was not trained for 8 bits")
    parts, _ = run_images(options.run, kertl.model.model_info(model))
    test = parts["test"].in_order()
    rows = np.arange(min(options.images, test.num_examples))
    images, truth = test.reader.take(rows), np.asarray(test.labels)[rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        kertl.export(options.run, path, format="litert", quantize="int8")
        export = by_litert(path, images, OpResolverType.AUTO)
        own = by_litert(path, images, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    inputs = keras.Input(model.input_shape[1:])
    rounded = keras.Model(inputs, network(inputs)).predict(images, batch_size=BATCH, verbose=0)
    exact = Exact(network)
    whole = np.concatenate([exact(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])
    pairs = {
        "rounded in float, and the export": (rounded, export),
        "LiteRT's kernels without XNNPACK, and Exact": (own, whole),
        "Exact, and the export": (whole, export),
    }
    kept = []
    for name, (one, other) in pairs.items():
        steps = np.rint(np.abs(one - other) / STEP)
        kept.append({"what": name, "images": len(images), "within one step": f"{(steps <= 1).mean():.4f}"})
        kept[-1]["most steps"] = int(steps.max())
        print(kept[-1], flush=True)
    float32 = model.predict(images, batch_size=BATCH, verbose=0)
    for name, said in {"float32": float32, "rounded in float": rounded, "the export": export}.items():
        print(f"accuracy, {name}: {(said.argmax(axis=1) == truth).mean():.4f}")
    record.keep("eight_bits", kept, packages=("keras", "tensorflow", "ai-edge-litert"))


if __name__ == "__main__":
    main()
