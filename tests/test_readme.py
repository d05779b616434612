import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parents[1] / "README.md"

# The example as it stands, but small and without a network.
SMALLER = {
    '"EfficientNetV2B0"': '"MobileNetV3Small"',
    'weights="imagenet"': "weights=None",
    "224": "32",
    "max_trials=30": "max_trials=1, epochs=1",
    'recipe="auto"': 'recipe="auto", verbose=0',
    "shuffle=False)": "shuffle=False, verbose=0)",
}


@pytest.fixture
def photos(tmp_path):
    noise = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(14):
            pixels = noise.integers(0, 256, (32, 32, 3), dtype="uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path


@pytest.mark.promise
@pytest.mark.slow
def test_the_python_of_the_readme_runs(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL))
    for written, smaller in SMALLER.items():
        assert written in code, f"the README no longer says {written}"
        code = code.replace(written, smaller)
    exec(compile(code, str(README), "exec"), {})
    assert "cat" in capsys.readouterr().out
    assert (photos / "photos.keras").is_file()
    assert (photos / "runs" / "1" / "metrics.json").is_file()
