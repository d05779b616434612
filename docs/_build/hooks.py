"""What MkDocs does beyond its plugins: tables and pages made from the code, and no page that asks another host."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import architecture
import made

_PLACE = re.compile(r"^<!-- made: (\w+) -->$", flags=re.MULTILINE)
_FETCHED = re.compile(r"<(?:script|img|iframe|link(?=[^>]*rel=.?stylesheet))\b[^>]*(?:src|href)=.?https?://[^>]*>")


def on_config(config: Any) -> Any:
    """Pages of the modules, and tutorials that were added since, stand in the navigation without being named there."""
    for entry in config.nav:
        if "Tutorials" in entry:
            found = sorted(path.relative_to(config.docs_dir) for path in Path(config.docs_dir).glob("tutorials/*.md"))
            entry["Tutorials"] += [one.as_posix() for one in found if one.as_posix() not in entry["Tutorials"]]
        if "Reference" in entry:
            entry["Reference"].append({"Modules": [f"reference/modules/{name}.md" for name in made.modules()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """A page for every public module, from its docstrings; the figures that pages show."""
    for figure in Path("benchmarks/results").glob("*.png"):
        files.append(File.generated(config, figure.as_posix(), abs_src_path=str(figure.resolve())))
    files.append(File.generated(config, "images/architecture.svg", content=architecture.picture()))
    for name in made.modules():
        page = f"::: kertl.{name}\n"
        files.append(File.generated(config, f"reference/modules/{name}.md", content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """`<!-- made: stage -->` becomes what `made.stage()` gives; figures of the benchmarks are beside the pages."""
    markdown = markdown.replace("../benchmarks/results/", "benchmarks/results/")
    return _PLACE.sub(lambda place: str(getattr(made, place[1])()), markdown)


def on_post_build(config: Any) -> None:
    """Raise if a page needs anything from another host."""
    for page in Path(config.site_dir).rglob("*.html"):
        found = _FETCHED.search(page.read_text(encoding="utf-8"))
        if found:
            raise PluginError(f"{page.name} needs something from elsewhere: {found[0]}")
