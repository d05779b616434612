"""The page itself: a template filled in, with everything inside one file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from kertl._terminal import printable
from kertl.run_files import write_text

REPORT = "report.html"
"""Name of the file in a run directory."""


def write_page(template: str, path: Path, values: Mapping[str, Any]) -> Path:
    """Fill in a template and write it as a whole.

    Raises:
        RunError: If the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kertl.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, percent=_percent, shown=_shown, indented=_indented)
    write_text(path, environment.get_template(template).render(values))
    return path


def _number(value: Any, digits: int = 4) -> str:
    """A number for people; a dash for what is undefined."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) and abs(value) < 100 else f"{value:,.6g}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _indented(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _shown(value: Any) -> str:
    return printable(str(value), lines=True)
