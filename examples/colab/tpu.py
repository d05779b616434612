# ---
# jupyter:
#   accelerator: TPU
#   colab:
#     name: tpu.ipynb
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # On a TPU, with JAX or TensorFlow
#
# **Never run on a TPU, nor in Colab.** None was at hand. What was run is the whole notebook on a CPU, with both
# backends and a small network; and `kertl compile` has compiled the training step of a MobileNetV2 for a TPU v5e.
#
# In Colab choose Runtime > Change runtime type > a TPU. Where there is none, the same cells train on a GPU or the CPU.
#
# ## 1. Install
#
# kertl needs Python 3.11 or newer and Keras 3.15. Its packages include TensorFlow 2.21 or newer in a build without TPU
# operations, so **JAX is the way here**. TensorFlow reaches a TPU only in a build with these operations; the newest one
# on PyPI, `tensorflow-tpu` 2.20 when this was written, is too old for kertl. Colab's own packages may be older too, and
# one that is in use already stays the old one: **the runtime has to be restarted after the installation**. The cell
# stops there once, and says so.

# %%
import importlib.util
import os
import subprocess
import sys

BACKEND = "jax"  # @param ["jax", "tensorflow"]

if "google.colab" in sys.modules and importlib.util.find_spec("kertl") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "kertl[jax]"], check=True)
    raise SystemExit("kertl is installed. Now choose Runtime > Restart session, and run all cells again.")

os.environ["KERAS_BACKEND"] = BACKEND  # before Keras is imported

# %% [markdown]
# ## 2. What is there
#
# Entered before anything else uses JAX or TensorFlow. On JAX several cores each get a copy of the weights and their
# share of each batch (`keras.distribution.DataParallel`); on TensorFlow it is `tf.distribute.TPUStrategy`. On a TPU
# layers compute in bfloat16, and their weights stay in float32.

# %%
import keras

import kertl

print("Python", sys.version.split()[0], "Keras", keras.__version__, "on", keras.backend.backend())
hardware = kertl.hardware.setup()
print(hardware.choice)

# %% [markdown]
# ## 3. Images
#
# Drawn here, to try it out. Set PHOTOS to a folder with one folder of images per class: on a TPU machine in Colab,
# mount your Drive (`from google.colab import drive; drive.mount("/content/drive")`) and name a folder in it.

# %%
PHOTOS = "drawn"  # @param {type: "string"}
BACKBONE = "EfficientNetV2B0"  # @param {type: "string"}
WEIGHTS = "imagenet"
SIZE = 224  # @param {type: "integer"}
PER_CORE = 16  # @param {type: "integer"}

# %%
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw(folder, per_class=64):
    """Folders with pictures of circles, squares and triangles of all sizes and colours."""
    random = np.random.default_rng(0)
    for shape, sides in (("circle", 60), ("square", 4), ("triangle", 3)):
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            picture = Image.new("RGB", (128, 128), tuple(random.integers(0, 100, 3).tolist()))
            place = (*random.integers(40, 88, 2).tolist(), int(random.integers(15, 35)))
            colour, angle = tuple(random.integers(120, 256, 3).tolist()), int(random.integers(360))
            ImageDraw.Draw(picture).regular_polygon(place, sides, rotation=angle, fill=colour)
            picture.save(folder / shape / f"{number}.png")


if PHOTOS == "drawn":
    draw(Path(PHOTOS))

# %% [markdown]
# ## 4. Train
#
# The batch is that of all cores together. On JAX each batch, the last one too, must be one that all cores can share
# equally; so many pictures are drawn that eight can. Keep `run_dir` on your Drive where a session may end: the same
# cells go on.

# %%
with hardware:
    data = kertl.data.from_directory(
        PHOTOS,
        image_size=(SIZE, SIZE),
        batch_size=hardware.batch_size(per_replica=PER_CORE),
        validation=0.25,
        test=0.25,
        seed=0,
    )
    print(data.summary())
    keras.utils.set_random_seed(0)
    model = kertl.build(BACKBONE, class_names=data.class_names, weights=WEIGHTS, input_shape=(SIZE, SIZE, 3))
    run = kertl.fine_tune(model, data, recipe="mid", run_dir="runs/tpu")
print(run)

# %% [markdown]
# ## 5. Look and keep
#
# The report of the run, one HTML file, and the model as plain Keras loads it, on any backend. LiteRT and other formats
# are exported from it where TensorFlow is the backend: `kertl export`.

# %%
import html

from IPython.display import HTML, display

page = html.escape(run.report().read_text(encoding="utf-8"), quote=True)
display(HTML(f'<iframe srcdoc="{page}" width="100%" height="700"></iframe>'))

# %%
kertl.save(run.model, "classifier.keras")
