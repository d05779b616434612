"""Every block of code in the README and on the site runs."""

import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from tests.pages import DOCS, SMALLER, blocks, pages, run_page, smaller
from tests.runs import REPOSITORY

# Pages that take more than some eight seconds here.
SLOW = {
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "deploy/browser",
            "deploy/many-images",
            "deploy/server",
            "design/features",
            "design/hardware",
            "design/heads",
            "design/resume",
            "design/search",
            "explanation/craft",
            "explanation/extract-once",
            "export",
            "how-to/unfreezing",
            "migration/fastai",
            "migration/kerastuner",
            "migration/keras-guide",
            "migration/model-maker",
            "start/first-model",
            "tutorials/few-images",
            "tutorials/kerastuner",
            "tutorials/own-fit",
            "tutorials/own-model",
            "tutorials/tensorboard",
            "tutorials/your-photos",
        )
    ),
}
# Pages whose code begins with a folder of photos; on all others, a finished run and its parts are there too.
FROM_PHOTOS = (
    "README.md",
    "docs/index.md",
    "docs/migration/",
    "docs/start/first-model.md",
    *(
        f"docs/tutorials/{name}.md"
        for name in ("few-images", "kerastuner", "many-images", "multi-label-regression", "tensorboard", "your-photos")
    ),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of noise, one darker than the other, as photos/cat and photos/dog."""
    folder = tmp_path_factory.mktemp("pages")
    noise = np.random.default_rng(0)
    for name, brightest in (("cat", 128), ("dog", 256)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = noise.integers(0, brightest, (32, 32, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    Image.fromarray(pixels).save(folder / "photo.jpg")
    shutil.copytree(folder / "photos" / "cat", folder / "new_photos")
    shutil.copytree(folder / "photos", folder / "labelled_photos")
    for name in ("tiny", "tiny2"):
        tiny().save(folder / f"{name}.keras")
    return folder


def tiny():
    """A trained classifier in the eyes of kertl, small enough for pages that name a backbone."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for number, filters in enumerate((8, 16, 16), 1):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"block_{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block_{number}_bn")(x)
        x = keras.layers.ReLU(name=f"block_{number}_relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


@pytest.fixture(scope="module")
def prepared(photos):
    """A finished run of these photos, and what pages call its parts."""
    folder = photos.parent / "prepared"
    shutil.copytree(photos, folder, dirs_exist_ok=True)
    data = kertl.data.from_directory(folder / "photos", image_size=(32, 32), batch_size=8, seed=0)
    backbone = kertl.load_backbone(folder / "tiny.keras")
    model = kertl.build(backbone, class_names=data.class_names)
    stage = kertl.Stage("deep", epochs=2, augment="none")
    run = kertl.fine_tune(model, data, recipe=stage, run_dir=folder / "runs" / "1", verbose=0)
    kertl.save(model, folder / "model.keras")
    x, y = data.train.in_order().batch(0, 0)
    pictures = data.train.reader.take(np.arange(data.train.num_examples))
    return folder, {
        "kertl": kertl,
        "keras": keras,
        "np": np,
        "data": data,
        "backbone": backbone,
        "model": model,
        "run": run,
        "x": x,
        "y": y,
        "x_val": x,
        "y_val": y,
        "names": data.class_names,
        "data_of_a": data,
        "data_of_b": data,
        "images_of_a": pictures,
        "images_of_b": pictures,
        "picture": x[0],
        "pictures": x.astype("float32"),
    }


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.promise] if name == "README.md" else pytest.mark.slow)
        if name in SLOW
        else name
        for name in (path.relative_to(REPOSITORY).as_posix() for path in pages())
    ],
)
def test_the_code_of_a_page_runs(page, photos, tmp_path, monkeypatch, request):
    folder, names = photos, {}
    if not page.startswith(FROM_PHOTOS):
        folder, names = request.getfixturevalue("prepared")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_page(REPOSITORY / page, dict(names))
    if page == "README.md":
        assert (tmp_path / "photos.keras").is_file()
        assert (tmp_path / "runs" / "2" / "metrics.json").is_file()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_outside_of_the_site_lead_to_files_of_the_repository(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_what_is_replaced_is_still_written_somewhere():
    code = "\n".join(code for page in pages() for _, _, code in blocks(page))
    assert [written for written in SMALLER if written not in code] == []


def test_pages_that_are_slow_exist():
    assert all((REPOSITORY / name).is_file() for name in SLOW)


def test_no_block_has_a_language_that_is_passed_over_by_mistake():
    languages = {
        line.strip().removeprefix("```").split(" ")[0]
        for page in (REPOSITORY / "README.md", *DOCS.rglob("*.md"))
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("```")
    }
    assert languages <= {"", "python", "bash", "text"}


def test_a_title_that_says_so_keeps_a_block_from_being_run(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('```python title="fastai (not run here)"\n1 / 0\n```\n\n  ```python\n  a = (224, 224)\n  ```\n')
    assert [code for _, _, code in blocks(page)] == ["a = (224, 224)\n"]
    assert smaller("(224, 224)") == "(32, 32)"
    with pytest.raises(AssertionError, match="neither run"):
        run_page(_with(tmp_path, "rm -rf x"), {})


def _with(folder, command):
    page = folder / "other.md"
    page.write_text(f"```bash\n{command}\n```\n")
    return page
