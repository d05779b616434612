"""Does what the recipes train compile for a TPU, and what does the compiler say of it?

Each recipe on MobileNetV2 and ResNet50, batches of 128 images, for topologies of two generations. Nothing is run, and
no TPU is needed: the compiler is libtpu, from the extra `tpu-compile`. A row for each stage.

    python benchmarks/tpu_compile.py [--backbones MobileNetV2 ResNet50] [--recipes deep mid full]
        [--topologies v5e:2x2 v6e:2x2] [--size 224]
"""

import argparse

import record

from kertl.recipe import recipe_of
from kertl.tpu import compile_for_tpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["MobileNetV2", "ResNet50"])
    parser.add_argument("--recipes", nargs="+", default=["deep", "mid", "full"])
    parser.add_argument("--topologies", nargs="+", default=["v5e:2x2", "v6e:2x2"])
    parser.add_argument("--size", type=int, default=224, help="Pixels along one side.")
    arguments = parser.parse_args()
    for backbone in arguments.backbones:
        for name in arguments.recipes:
            for topology in arguments.topologies:
                build = {"backbone": backbone, "num_classes": 2, "input_shape": (arguments.size, arguments.size, 3)}
                found = compile_for_tpu(recipe_of(name), topology, build=build)
                print(found.table(), flush=True)
                record.keep(
                    "tpu_compile",
                    [row(found, backbone, arguments.size, name, stage) for stage in found.stages],
                    ("keras", "jax"),
                )


def row(found, backbone, size, recipe, stage):
    return {
        "backbone": backbone,
        "image_size": size,
        "recipe": recipe,
        "stage": stage.stage + 1,
        "at": stage.at,
        "topology": found.topology,
        "batch_size": found.batch_size,
        "precision": found.precision,
        "trained": stage.trained,
        "collectives": " ".join(f"{count} {kind}" for kind, count in stage.collectives.items()),
        "gflop_per_chip": f"{stage.gflops:.2f}",
        "gigabytes_per_chip": f"{stage.gigabytes:.2f}",
        "multiplies_in": " ".join(f"{count} {kind}" for kind, count in stage.matmuls.items()),
        "compile_seconds": f"{stage.compile_seconds:.0f}",
    }


if __name__ == "__main__":
    main()
