"""How much Python a reader of the product must see, by room, and the laboratory and the phantom beside it.

python benchmarks/lines.py
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from machine import write_result

SOURCES = Path(__file__).resolve().parents[1] / "src"
VERBS = ("study", "reading", "model", "retrieval", "explanation", "analysis")
"""Rooms of the three verbs: predict, search, explain."""


def main() -> None:
    rooms: Counter[str] = Counter()
    for file in SOURCES.rglob("*.py"):
        package, *inside = file.relative_to(SOURCES).with_suffix("").parts
        room = f"{package}.{inside[0]}" if package == "lingula" else package
        rooms[room] += len(file.read_text("utf-8").splitlines())
    product = sum(lines for room, lines in rooms.items() if room.startswith("lingula."))
    verbs = sum(rooms[f"lingula.{room}"] for room in VERBS)
    unit = {"unit": "lines"}
    headline = {"product_lines": {"value": product, **unit}, "three_verbs_lines": {"value": verbs, **unit}}
    write_result("lines", {"rooms": dict(rooms.most_common())}, headline)


if __name__ == "__main__":
    main()
