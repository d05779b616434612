"""The software bill of materials of kertl: what it needs, directly and indirectly, at the versions installed here.

python .ci/sbom.py dist/kertl.cdx.json        CycloneDX 1.6, as JSON; extras are left out
"""

import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement


def needed(root: str) -> dict[str, Distribution]:
    """The packages that a package needs here, itself included, by normalised name."""
    found: dict[str, Distribution] = {}
    waiting = [(root, frozenset[str]())]
    seen = set()
    while waiting:
        asked = waiting.pop()
        name, extras = asked
        if asked in seen:
            continue
        seen.add(asked)
        found[name] = distribution(name)
        for text in found[name].requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                waiting.append((_normal(one.name), frozenset(one.extras)))
    return found


def bill(root: str) -> dict[str, Any]:
    """The bill of a package."""
    packages = needed(root)
    parts = {name: _component(name, one) for name, one in sorted(packages.items())}
    links = [
        {
            "ref": parts[name]["bom-ref"],
            "dependsOn": sorted(
                {
                    parts[other]["bom-ref"]
                    for text in one.requires or ()
                    if (other := _normal(Requirement(text).name)) in parts and "extra ==" not in text
                }
            ),
        }
        for name, one in sorted(packages.items())
    ]
    whole = {**parts.pop(root), "type": "library"}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": whole},
        "components": list(parts.values()),
        "dependencies": links,
    }


def _component(name: str, one: Distribution) -> dict[str, Any]:
    address = f"pkg:pypi/{name}@{one.version}"
    licence = one.metadata.get("License-Expression") or one.metadata.get("License") or ""
    known = {"licenses": [{"license": {"name": licence.splitlines()[0][:100]}}]} if licence.strip() else {}
    return {"type": "library", "bom-ref": address, "name": name, "version": one.version, "purl": address, **known}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    try:
        text = json.dumps(bill("kertl"), indent=2)
    except PackageNotFoundError as error:
        sys.exit(f"{error}: install kertl first, as `make dist` does.")
    Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")
    print(f"{sys.argv[1]}: {text.count('bom-ref')} packages")
