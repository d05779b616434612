"""Types reach whoever uses kertl."""

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

SAMPLE = Path(__file__).with_name("typed_sample.py")
ROOT = SAMPLE.parents[1]


def marked(mark):
    """What the comments of the sample say, by line."""
    lines = enumerate(SAMPLE.read_text().splitlines(), start=1)
    return {number: line.partition(mark)[2].strip() for number, line in lines if f"  {mark}" in line}


def test_a_type_checker_finds_the_errors_in_the_sample_and_no_any():
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(SAMPLE)], capture_output=True, text=True, cwd=ROOT
    )
    said = re.findall(rf"{SAMPLE.name}:(\d+): (error|note): (.*)", run.stdout)
    errors = {int(line): re.search(r"\[([a-z-]+)\]$", text)[1] for line, kind, text in said if kind == "error"}
    assert errors == marked("# error:"), run.stdout + run.stderr
    revealed = {int(line): text for line, kind, text in said if text.startswith("Revealed type")}
    wanted = marked("# reveals:")
    assert revealed.keys() == wanted.keys()
    for line, text in wanted.items():
        assert text in revealed[line]
        assert revealed[line] != 'Revealed type is "Any"'


def test_the_package_says_that_it_is_typed():
    assert resources.files("kertl").joinpath("py.typed").is_file()
