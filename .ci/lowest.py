"""The lowest versions that pyproject.toml admits, as constraints for pip: `make test-lowest` runs tests with them.

python .ci/lowest.py > lowest.txt
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    for text in project["dependencies"]:
        one = Requirement(text)
        (lowest,) = (part.version for part in one.specifier if part.operator == ">=")
        print(f"{one.name}=={lowest}")
