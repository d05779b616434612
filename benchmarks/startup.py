"""How long does a command of `kertl` take to start, and what does it import for that?

Each command runs in processes of its own, in turn with the others, `--repeat` times: `--help` of each, then `inspect`,
`backbones`, `doctor`, and a prediction of one image by a run of MobileNetV2 at 160 px, from Keras and from each of its
exports. For each, the median seconds from start to end and to the first sign (the first byte on stdout or stderr), the
processor time, and which of the slow packages it imported, as `python -X importtime` lists them, with the seconds of
their imports. `--against FOLDER` runs the checkout in that folder in turn with this one ("before" and "after"), which
may know no exports and then answers from Keras.

The last answer on two idle cores, `--repeat 3`: a prediction of one image takes 0.61 s from OpenVINO, 0.46 s from ONNX,
0.43 s from LiteRT and 4.6 s from Keras, of which the imports of TensorFlow and Keras are about half; every `--help`
0.28 to 0.44 s, and `inspect` 0.9 s. Of the slow packages they import h5py alone, for `inspect`. Before exports were
used, Keras with TensorFlow, JAX, scikit-learn, SciPy and pandas was imported for a prediction: 10.1 s of the processor,
where 1.0 s remained in that run.

    python benchmarks/startup.py [--repeat 3] [--against FOLDER] [--commands predict doctor]
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

HERE = Path(__file__).parents[1]
SLOW = (
    *("tensorflow", "keras", "keras_hub", "keras_cv", "keras_tuner"),
    *("sklearn", "scipy.stats", "matplotlib", "pandas", "jax", "h5py"),
)
SIDE = 160


def run_and_image(folder):
    """A run of MobileNetV2 with its checked exports, made in a process of its own, and an image for it."""
    code = f"""
import keras, kertl, numpy as np
from pathlib import Path
from PIL import Image
folder = Path({str(folder)!r})
random = np.random.default_rng(0)
for name in ("a", "b"):
    (folder / "photos" / name).mkdir(parents=True)
    for number in range(4):
        small = random.integers(0, 256, (12, 16, 3), dtype="uint8")
        Image.fromarray(small).resize((640, 480)).save(folder / "photos" / name / f"{{number}}.jpg")
keras.utils.set_random_seed(0)
model = kertl.build("MobileNetV2", class_names=["a", "b"], weights=None, input_shape=({SIDE}, {SIDE}, 3))
info = kertl.model.model_info(model)
data = kertl.data.from_directory(folder / "photos", image_size=({SIDE}, {SIDE}), validation=0, test=0)
kertl.model.note_data(model, data)
kertl.save(model, folder / "run" / "model.keras")
for kind in ("openvino", "onnx", "litert"):
    path = folder / "run" / "export" / kertl.exporting.file_name(kind, None)
    kertl.export(folder / "run", path, format=kind, data=data)
"""
    subprocess.run([sys.executable, "-c", code], env=environment(HERE), check=True, capture_output=True)
    return folder / "run", folder / "photos" / "a" / "0.jpg"


def environment(checkout, level="3"):
    return {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": level}


def measured(checkout, arguments, options=(), level="3"):
    """Seconds to the first sign and to the end, seconds of the processors, and what the process wrote."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *options, "-m", "kertl", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env=environment(checkout, level),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    first, sign = process.stdout.read(1), time.perf_counter() - start
    text = first + process.stdout.read()
    process.wait()
    end, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return sign, end, used, text.decode(errors="replace"), process.returncode


def imports(checkout, arguments):
    """Cumulated seconds of the import of each slow package that a command imported."""
    text = measured(checkout, arguments, ("-X", "importtime"), level="0")[3]  # else kertl keeps stderr from showing it
    found = re.findall(r"import time:\s*\d+ \|\s*(\d+) \|\s*([\w.]+)\n", text)
    # What is looked for and not found takes no time.
    return {name: int(micros) / 1e6 for micros, name in found if name in SLOW and int(micros) >= 5000}


def commands(checkout, run, image):
    """What is asked, by name."""
    listed = subprocess.run(
        [sys.executable, "-m", "kertl", "--help"], env=environment(checkout), capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(r"^\W ([a-z][a-z-]+)\s{2,}\S", listed, flags=re.MULTILINE)
    found = {f"{name} --help": [name, "--help"] for name in sorted(set(names))}
    found |= {"inspect RUN": ["inspect", run], "backbones": ["backbones"], "doctor": ["doctor"]}
    asked = ["predict", run, image]
    if "--engine" not in measured(checkout, ["predict", "--help"])[3]:
        return found | {"predict RUN IMAGE, auto": asked}
    engines = ("auto", "keras", "openvino", "onnx", "litert")
    return found | {f"predict RUN IMAGE, {engine}": [*asked, "--engine", engine] for engine in engines}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--commands", nargs="*", help="only those whose name begins with one of these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, image = run_and_image(Path(folder))
        sides = {"after": HERE} if options.against is None else {"before": options.against.resolve(), "after": HERE}
        asked = {side: commands(checkout, run, image) for side, checkout in sides.items()}
        names = [one for one in asked["after"] if not options.commands or one.startswith(tuple(options.commands))]
        for name in names:
            kept = {side: [] for side in sides if name in asked[side]}
            for _ in range(options.repeat):
                for side, times in kept.items():
                    *numbers, text, status = measured(sides[side], asked[side][name])
                    if status:
                        raise SystemExit(f"{name} ({side}): {text}")
                    times.append(numbers)
            rows = []
            for side, times in kept.items():
                sign, end, used = (statistics.median(column) for column in zip(*times, strict=True))
                slow = imports(sides[side], asked[side][name])
                shown = "; ".join(f"{package} {seconds:.2f}" for package, seconds in slow.items()) or "none"
                print(
                    f"{name:28} {side:7} first sign {sign:6.2f} s, end {end:6.2f} s, processor {used:6.2f} s; {shown}",
                    flush=True,
                )
                rows.append(
                    {
                        "command": name,
                        "side": side,
                        "first_sign_seconds": f"{sign:.2f}",
                        "seconds": f"{end:.2f}",
                        "processor_seconds": f"{used:.2f}",
                        "load": f"{os.getloadavg()[0]:.1f}",
                        "imports": shown,
                    }
                )
            record.keep("startup", rows)


if __name__ == "__main__":
    main()
