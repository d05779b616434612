"""Features of the photos of solar cells for a head on an FPGA: 32 numbers each, in features.npz; and small photos.

    python features.py

The backbone is that of `kertl demo`; its 1,280 pooled features become 32 by a principal component analysis of those of
the training images, each divided by its standard deviation there. Beside them, for a CNN, are the photos in 16 x 16
grey pixels, in steps of 1/256 from 0 on.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

import kertl
import kertl.demo

SIDE, NUMBERS, SMALL = 96, 32, 16


def small(images):
    """Photos, shape `(n, SIDE, SIDE, 3)` of 0..255, as means of blocks, shape `(n, SMALL, SMALL, 1)`."""
    block = SIDE // SMALL
    blocks = images.astype("float32").reshape(len(images), SMALL, block, SMALL, block, -1)
    return (np.rint(blocks.mean(axis=(2, 4, 5))) / 256).astype("float32")[..., None]


def main():
    photos = kertl.demo.fetch_photos()
    with tempfile.TemporaryDirectory() as folder:
        table = kertl.demo.write_table(photos, Path(folder) / "cells.csv")
        data = kertl.data.from_csv(
            table, root=photos, image_size=(SIDE, SIDE), stratify_columns=("probability", "type"), test=0.25, seed=0
        )
    backbone = kertl.load_backbone(kertl.demo.fetch_weights(), preprocessing="tf", input_shape=(SIDE, SIDE, 3))
    model = kertl.build(backbone, class_names=data.class_names)
    parts, arrays = {}, {}
    for name in ("train", "test"):
        part = getattr(data, name).in_order()
        arrays[f"{name}_small"] = small(part.reader.take(np.arange(part.num_examples)))
        found = kertl.extract(model, getattr(data, name), at="deep")
        parts[name] = np.asarray(found.values).reshape(len(found.labels), -1), np.asarray(found.labels)
    reduced = PCA(NUMBERS, whiten=True, random_state=0).fit(parts["train"][0])
    for name, (values, labels) in parts.items():
        arrays[f"{name}_x"], arrays[f"{name}_y"] = reduced.transform(values).astype("float32"), labels
    np.savez("features.npz", **arrays)
    print({name: values.shape for name, values in arrays.items()})


if __name__ == "__main__":
    main()
