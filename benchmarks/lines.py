"""How much Python a reader of the product must see, by room, and the laboratory and the phantom beside it.

python benchmarks/lines.py
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from machine import write_result

SOURCES = Path(__file__).resolve().parents[1] / "src"
VERBS = ("study", "reading", "model", "retrieval", "explanation", "analysis")
"""Rooms of the three verbs: predict, search, explain."""


def kinds(text: str) -> Counter[str]:
    """How many lines are blank, comment, docstring, import or code."""
    lines = text.splitlines()
    kind = {n: "blank" if not line.strip() else "comment" if line.strip().startswith("#") else "code"
            for n, line in enumerate(lines, 1)}  # fmt: skip
    for node in ast.walk(ast.parse(text)):
        said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if said or isinstance(node, ast.Import | ast.ImportFrom):
            kind |= dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), "docstring" if said else "import")
    return Counter(kind.values())


def main() -> None:
    rooms: Counter[str] = Counter()
    made_of: Counter[str] = Counter()
    for file in SOURCES.rglob("*.py"):
        package, *inside = file.relative_to(SOURCES).with_suffix("").parts
        room = f"{package}.{inside[0]}" if package == "lingula" else package
        found = kinds(file.read_text("utf-8"))
        rooms[room] += found.total()
        if package == "lingula":
            made_of += found
    product = sum(lines for room, lines in rooms.items() if room.startswith("lingula."))
    verbs = sum(rooms[f"lingula.{room}"] for room in VERBS)
    unit = {"unit": "lines"}
    headline = {"product_lines": {"value": product, **unit}, "three_verbs_lines": {"value": verbs, **unit}}
    write_result("lines", {"rooms": dict(rooms.most_common()), "product": dict(made_of.most_common())}, headline)


if __name__ == "__main__":
    main()
