# ---
# jupyter:
#   accelerator: GPU
#   colab:
#     name: images.ipynb
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your images, on a CPU or a GPU
#
# A folder with one folder of images per class becomes a classifier: install, read, train, look, export. In Colab choose
# Runtime > Change runtime type > a GPU, or stay on the CPU, which takes longer. The same cells run in Jupyter.
#
# **Never run in Colab, nor on a GPU**: what was run is the whole notebook on a CPU, with a small network.
#
# ## 1. Install
#
# kertl needs Python 3.11 or newer, TensorFlow 2.21 or newer, and Keras 3.15. Colab brings a TensorFlow and a Keras of
# its own, which may be older, and a package that is in use already stays the old one. So **the runtime has to be
# restarted after the installation**: the cell stops there once, and says so.

# %%
import importlib.util
import subprocess
import sys

IN_COLAB = "google.colab" in sys.modules
if IN_COLAB and importlib.util.find_spec("kertl") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "kertl[litert]"], check=True)
    raise SystemExit("kertl is installed. Now choose Runtime > Restart session, and run all cells again.")

# %%
import keras
import tensorflow as tf

import kertl

print("Python", sys.version.split()[0], "TensorFlow", tf.__version__, "Keras", keras.__version__)
print(kertl.hardware.choose())

# %% [markdown]
# ## 2. Images
#
# "drawn" draws some, to try it out. In Colab "upload" asks for a zip file whose folders are the classes, and "drive"
# takes the folder PHOTOS of your Drive. Outside of Colab "folder" takes PHOTOS as it is.

# %%
SOURCE = "drawn"  # @param ["drawn", "upload", "drive", "folder"]
PHOTOS = "photos"  # @param {type: "string"}
BACKBONE = "EfficientNetV2B0"  # @param {type: "string"}
WEIGHTS = "imagenet"
SIZE = 224  # @param {type: "integer"}

# %%
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw(folder, per_class=40):
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


folder, kept = Path(PHOTOS), Path("runs")
if SOURCE == "drawn":
    folder = Path("drawn")
    draw(folder)
elif SOURCE == "upload":
    from google.colab import files

    for name in files.upload():
        shutil.unpack_archive(name, folder)
elif SOURCE == "drive":
    from google.colab import drive

    drive.mount("/content/drive")
    folder, kept = Path("/content/drive/MyDrive", PHOTOS), Path("/content/drive/MyDrive/runs")

# %%
data = kertl.data.from_directory(folder, image_size=(SIZE, SIZE), validation=0.15, test=0.15, seed=0)
print(data.summary())  # classes, parts, and every file that was left out, with the reason

# %% [markdown]
# ## 3. Train
#
# First the head, then from the last halving of resolution on. The run directory is on your Drive if the images are:
# where Colab takes the machine away, the same cells, run again, go on from the last checkpoint.

# %%
with kertl.hardware.setup() as hardware:
    print(hardware)
    keras.utils.set_random_seed(0)
    model = kertl.build(BACKBONE, class_names=data.class_names, weights=WEIGHTS, input_shape=(SIZE, SIZE, 3))
    run = kertl.fine_tune(model, data, recipe="mid", run_dir=kept / "1")
print(run)

# %% [markdown]
# ## 4. Look
#
# How good it is, where it fails, which labels are probably wrong: the report of the run, one HTML file.

# %%
import html

from IPython.display import HTML, display

page = html.escape(run.report().read_text(encoding="utf-8"), quote=True)
display(HTML(f'<iframe srcdoc="{page}" width="100%" height="700"></iframe>'))

# %%
print(kertl.diagnose(run))
photo = next(folder.glob("*/*.*"))
print(photo, kertl.answers(run.model, kertl.predict(run.model, [photo])))

# %% [markdown]
# ## 5. Export
#
# The model as plain Keras loads it, and for phones as LiteRT, which is compared with the model before it is kept.

# %%
kertl.save(run.model, "classifier.keras")
print(kertl.export(run, "classifier.tflite", format="litert"))
if IN_COLAB:
    from google.colab import files

    files.download("classifier.keras")
    files.download("classifier.tflite")
