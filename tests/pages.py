"""The code of the README and of the site, run as it stands there, but small and without a network."""

import re
import shlex
import tomllib
from pathlib import Path

import typer

from kertl.cli import run
from kertl.cli._app import app
from tests.runs import REPOSITORY

DOCS = REPOSITORY / "docs"
# Written in a page -> what runs here.
SMALLER = {
    '"EfficientNetV2B0"': '"tiny.keras"',
    '"ResNet50"': '"tiny2.keras"',
    "--backbone EfficientNetV2B0": "--backbone tiny.keras --image-size 32",
    "(224, 224": "(32, 32",
    "(160, 160": "(32, 32",
    "max_trials=20": "max_trials=1, epochs=1",
    'strategy="bayesian", out': 'strategy="bayesian", max_trials=1, epochs=1, out',
    "--float-group expanded_conv": "--float-group block_1",
    "--trials 30": "--trials 1 --epochs 1",
    'recipe="auto"': 'recipe="auto", verbose=0',
    "shuffle=False)": "shuffle=False, verbose=0)",
}
_BLOCK = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)
NOT_RUN = "not run"
"""What the title of a block says whose code needs what is not here: another library, an accelerator."""
# Commands that wait for a browser, need a network or an accelerator: their options are read, and no more.
_READ_ONLY = ("serve", "demo", "compile")
_OTHERS = ("curl", "docker", "git", "tensorboard", "npm", "unzip", "xxd", "tfjs/bin/pip", "KERTL_TFJS_CONVERTER=")


def pages():
    """Every page with code that is run: the README and the site, by their paths in the repository."""
    found = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [path for path in found if any(code for _, _, code in blocks(path))]


def blocks(page):
    """Language, title and code of each block of Python or of commands."""
    for indent, language, title, code in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("python", "bash") and NOT_RUN not in title:
            yield language, title, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)


def smaller(code):
    """The code with what would take long, or a network, replaced."""
    for written, instead in SMALLER.items():
        code = code.replace(written, instead)
    return code


def run_page(page, names):
    """Run the blocks of a page one after the other, in the current folder, as one program."""
    for number, (language, _, code) in enumerate(blocks(page), 1):
        if language == "python":
            exec(compile(smaller(code), f"{page.name}, block {number}", "exec"), names)
        else:
            for command in commands(smaller(code)):
                run_command(command)


def commands(code):
    """The commands of a block, without comments, each as a list of words."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_command(words):
    """Run a command of kertl; of others, see that what they name exists."""
    program, *arguments = words
    if program == "kertl" and (arguments[0] in _READ_ONLY or "tfjs" in arguments):
        options = typer.main.get_command(app).commands[arguments[0]]
        options.make_context(arguments[0], arguments[1:], resilient_parsing=True)
    elif program == "kertl":
        assert run(arguments) == 0, words
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE), words
    elif program == "pip":
        extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = re.findall(r"^kertl\[(.*)\]$", arguments[-1])
        assert set(",".join(asked).split(",")) - {""} <= set(extras), words
    elif program == "python":
        assert arguments[0] == "-m" or (REPOSITORY / arguments[0]).is_file() or Path(arguments[0]).is_file(), words
    else:
        assert program.startswith(_OTHERS), f"{words} is neither run nor known to be left out"
