"""Run the other tool's side of a migration page, in an environment that has that tool and not kertl.

    ENVIRONMENT/bin/python docs/_build/other_side.py docs/migration/fastai.md IMAGES

Takes the blocks of the page whose title says "not run", and runs them, at 64 px, in a folder of their own, in which
`photos/` has up to 40 images of each of the first two folders in IMAGES as JPEG files. The weights that a tool would
download are random ones, made here and put where it keeps its downloads, since what is tried is the code. Prints the
versions, and what the tool left behind.
"""

import hashlib
import importlib.metadata
import itertools
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image

PACKAGES = ("fastai", "torch", "mediapipe-model-maker", "tensorflow", "tensorflow-hub", "numpy")
MOBILENET = "https://tfhub.dev/google/tf2-preview/mobilenet_v2/feature_vector/4"


def main(page, images):
    code = re.findall(r'```python title="[^"]*not run[^"]*"\n(.*?)```', re.sub(r"^ {4}", "", page, flags=re.M), re.S)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for kind in itertools.islice(sorted(one for one in images.iterdir() if one.is_dir()), 2):
            target = Path("photos") / kind.name
            target.mkdir(parents=True)
            for path in itertools.islice(sorted(kind.rglob("*.png")), 40):
                Image.open(path).convert("RGB").save(target / f"{len(list(target.iterdir()))}.jpg")
        for block in code:
            weights(block)
            exec(compile(block.replace("Resize(224)", "Resize(64)"), "the page", "exec"), {"__name__": "__main__"})
        left = [path for path in sorted(Path().rglob("*.*")) if path.parts[0] != "cache" and path.suffix != ".jpg"]
        print(f"Python {platform.python_version()}, " + ", ".join(versions()))
        print(f"{len(code)} block ran, and left {', '.join(f'{path} ({path.stat().st_size:,} bytes)' for path in left)}")


def versions():
    for name in PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def weights(block):
    """Random weights where the tool of a block looks for those that it has downloaded before."""
    if "resnet34" in block:
        import torch
        from torchvision.models import ResNet34_Weights, resnet34

        os.environ["TORCH_HOME"] = str(Path("cache").resolve())
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(ResNet34_Weights.DEFAULT.url).name
        file.parent.mkdir(parents=True)
        torch.save(resnet34().state_dict(), file)
    if "MOBILENET_V2" in block:
        import tensorflow as tf

        os.environ["TFHUB_CACHE_DIR"] = str(Path("cache").resolve())
        module = tf.keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg")
        tf.saved_model.save(module, str(Path("cache") / hashlib.sha1(MOBILENET.encode()).hexdigest()))


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2]).resolve())
