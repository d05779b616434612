"""The picture of the architecture, from the imports of the modules; the site is built with it.

Rows are the layers of pyproject.toml, which import-linter holds; an arrow is an import. Arrows that two others imply are
left out.
"""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW, _COLUMN, _BOX = 62, 128, (112, 30)


def layers() -> list[list[str]]:
    """The layers from above, each a list of modules."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    return [[name.strip() for name in row.replace(":", "|").split("|")] for row in contract["layers"]]


def imports() -> dict[str, set[str]]:
    """Module -> the modules that it imports anywhere in it, except for type checkers alone."""
    known = {name for row in layers() for name in row}
    found: dict[str, set[str]] = {name: set() for name in known}
    for path in sorted((ROOT / "kertl").rglob("*.py")):
        name = path.relative_to(ROOT / "kertl").parts[0].removesuffix(".py")
        if name in known:
            found[name] |= {other for other in _imported(ast.parse(path.read_text(encoding="utf-8"))) if other in known}
            found[name].discard(name)
    return found


def _imported(tree: ast.Module) -> set[str]:
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.split(".")[1] for name in names if name.startswith("kertl.")}


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arrows that a longer way implies."""

    def reached(name: str) -> set[str]:
        return graph[name].union(*(reached(other) for other in graph[name]))

    return {
        name: {one for one in others if not any(one in reached(other) for other in others - {one})}
        for name, others in graph.items()
    }


def picture() -> str:
    """The picture as SVG."""
    rows, arrows = layers(), reduced(imports())
    width = max(map(len, rows)) * _COLUMN + 20
    places = {
        name: ((width - len(row) * _COLUMN) / 2 + number * _COLUMN + (_COLUMN - _BOX[0]) / 2, 14 + place * _ROW)
        for place, row in enumerate(rows)
        for number, name in enumerate(row)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {len(rows) * _ROW}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for name in sorted(arrows):
        x, y = places[name][0] + _BOX[0] / 2, places[name][1] + _BOX[1]
        for other in sorted(arrows[name]):
            to_x, to_y = places[other][0] + _BOX[0] / 2, places[other][1]
            bend = (to_y - y) / 2
            lines.append(
                f'<path d="M{x:g} {y:g}C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}" fill="none" '
                'stroke="#7986cb" stroke-width="1.2"/>'
            )
    for name, (left, top) in places.items():
        lines.append(
            f'<rect x="{left:g}" y="{top:g}" width="{_BOX[0]}" height="{_BOX[1]}" rx="4" fill="#e8eaf6" stroke="#3f51b5"/>'
            f'<text x="{left + _BOX[0] / 2:g}" y="{top + 20:g}" font-size="13" text-anchor="middle">{name}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"
