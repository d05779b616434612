"""What does quantisation after training cost and gain? LiteRT in float32, float16, dynamic range and int8, on ELPV.

For each seed a MobileNetV2 at 160 px is fine-tuned from its last halving of resolution on (recipe "mid"), exported in
each form, and asked about the test images: bytes, milliseconds per image, accuracy, and the change of accuracy with its
95 % interval. `--run RUN` takes a finished run, such as those of `make demo`, instead of training; several are seeds.

    python benchmarks/quantisation.py --run runs/demo/mid

Answer (seed 0): float16 has 0.51 of the bytes, dynamic range 0.28, int8 0.31; accuracy 0.8567 in float32, and +0.003,
+0.003 and -0.005, all within chance on 656 images; int8 decides differently for 9.6 % of them. On two cores shared with
other programs, int8 took 0.79 of float32's time on batches of 32 in one run and 1.15 of it in another, so whether it
is faster is open.
"""

import argparse
import tempfile
from pathlib import Path

import cells
import record

import kertl

FORMATS = ("litert", "litert:float16", "litert:dynamic", "litert:int8")


def trained(seed, folder):
    """The directory of a run, and its data."""
    data = cells.data(seed, cache="memory")
    model = cells.model(data.class_names, seed)
    run = kertl.fine_tune(model, data, recipe=kertl.recipe.named_recipe("mid", seed=seed), run_dir=folder, verbose=0)
    return run.run_dir, data


def measured(run_dir, data, images):
    """A row for each form."""
    with tempfile.TemporaryDirectory() as out:
        found = kertl.benchmark(run_dir, formats=FORMATS, data=data, out=out, images=images)
    print(found, flush=True)
    return [row(one, run_dir) for one in found.rows]


def row(one, run_dir):
    export, change = one.export, ("", "")
    if export is not None:
        change = export.change_interval
    return {
        "run": run_dir.name,
        "form": one.quantize or "float32",
        "bytes": "" if export is None else export.size_bytes,
        "ms_one": "" if export is None else round(one.one_ms, 2),
        "ms_batch_of_32": "" if export is None else round(one.batch_ms, 1),
        "accuracy": "" if export is None else round(export.score, 4),
        "change": "" if export is None else round(export.change, 4),
        "change_low": "" if export is None else round(change[0], 4),
        "change_high": "" if export is None else round(change[1], 4),
        "same": "" if export is None else round(export.same, 4),
        "note": one.note.split(": ")[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", help="a finished run, instead of training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=1000, help="test images at most")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs = [(run, None) for run in arguments.run or ()] or [
            trained(seed, Path(folder) / f"seed {seed}") for seed in arguments.seeds
        ]
        for run_dir, data in runs:
            rows += measured(run_dir, data, arguments.images)
    record.keep("quantisation", rows, packages=("keras", "tensorflow", "ai-edge-litert"))


if __name__ == "__main__":
    main()
