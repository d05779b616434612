"""How much do the features of a backbone tell, on small data sets of five kinds?

A linear probe: the head alone, one layer on averaged features of the frozen backbone, solved, with the strength of its
penalty chosen on the validation set. 50 images of each class for training and validation, all test images, 160 px, for
every network whose pretrained weights come in a package (`suite_backbones.py`). Prints test accuracies by data set
(`suite_data.py`), mean of the splits.

    python benchmarks/linear_probe.py [--names EfficientNet-Lite0 ...] [--data cells ...] [--splits 0 1]
"""

import argparse
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import record
import suite
import suite_backbones
import suite_data

import kertl

PER_CLASS = 50


def measure(name, data_set, split):
    """The row of a network on one split of a data set."""
    keras.utils.set_random_seed(split)
    data = suite_data.load(data_set, PER_CLASS, split, suite.SIZE)
    model = kertl.build(suite_backbones.backbone(name, suite.SIZE), class_names=data.class_names)
    run = kertl.fine_tune(model, data, recipe=kertl.Stage("deep", solver="exact"), verbose=0)
    test = run.metrics["test"]
    return {
        "backbone": name,
        "data": data_set,
        "split": split,
        "test images": test["images"],
        "test accuracy": f"{test['accuracy']:.4f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", default=suite_backbones.NAMES, choices=suite_backbones.NAMES)
    parser.add_argument("--data", nargs="+", default=suite_data.NAMES, choices=suite_data.NAMES)
    parser.add_argument("--splits", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    print(f"| backbone | {' | '.join(options.data)} |\n|{'---|' * (1 + len(options.data))}")
    for name in options.names:
        means = []
        for data_set in options.data:
            rows = [measure(name, data_set, split) for split in options.splits]
            record.keep("linear_probe", rows, packages=("keras", "tensorflow", "openvino"))
            means.append(statistics.mean(float(row["test accuracy"]) for row in rows))
        print(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in means)} |", flush=True)


if __name__ == "__main__":
    main()
