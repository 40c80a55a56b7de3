"""The benchmark as README and documents tell it, from the files in ``results/``: nothing is measured here.

    python benchmarks/summary.py

Rewrites the part of README.md between its two markers (``figures.md.jinja``), docs/model-card.md and docs/datasheet.md.
``evaluate.py`` does it at its end; a test holds the documents to the results.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from lingula.model.checkpoint import load_checkpoint
from lingula_lab.report.card import Results, companions_of, datasheet, model_card

HERE = Path(__file__).resolve().parent
ROOT, RESULTS, CITED = HERE.parent, HERE / "results" / "evaluation.json", "benchmarks/results/evaluation.json"
START, END = "<!-- figures: python benchmarks/summary.py -->\n", "<!-- end of figures -->\n"

FILM = {
    "chance": "prevalence (chance)",
    "32 × 32 pixels, frontal film": "32 × 32 pixels, frontal",
    "frozen ImageNet MobileNetV1, frontal film": "frozen MobileNetV1, frontal",
    "frozen ImageNet MobileNetV1, all films": "frozen MobileNetV1, frontal + lateral",
    "**frontal film**": "image, frontal",
    "**all films**": "image, frontal + lateral",
    "all films + indication": "image + indication",
}
READING = {
    "counting words (TF-IDF)": "TF-IDF of the report",
    "word vectors": "word vectors of the report",
    "report": "report",
    "films + report": "image + report",
}
SIMILAR = {
    "chance": "chance, expected",
    "frozen ImageNet MobileNetV1: film → film": "frozen MobileNetV1: image → image",
    "film → film": "image → image",
    "**similar studies of a film** (the default)": "default search: image, frontal + lateral",
    "film → report": "image → report",
    "counting words: report → report – *reads the report*": "TF-IDF: report → report",
    "report → report – *reads the report*": "report → report",
}
INDEXING = {"AUROC": "AUROC macro", "AP": "AP macro", "F1": "F1 macro", "ECE": "ECE"}
"""Titles of columns, and their names in the file; so are the tables above by rows."""


def figures(r: Results) -> str:
    """What README says between its markers."""

    def table(key: str, rows: dict[str, str], columns: dict[str, str], first: str) -> str:
        lines = [f"| {first} | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
        for title, row in rows.items():
            lines.append(f"| {title} | " + " | ".join(r.figure(key, row, column) for column in columns.values()) + " |")
        return "\n".join(lines) + "\n"

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
    return environment.from_string((HERE / "figures.md.jinja").read_text(encoding="utf-8")).render(
        table=table,
        about=r.about,
        cited=CITED,
        film=FILM,
        reading=READING,
        similar=SIMILAR,
        findings={**INDEXING, "normal/abnormal": "normal/abnormal AUROC"},
        indexing=INDEXING,
        ranking={"P@5": "P@5", "AP": "AP", "nDCG@10": "nDCG@10"},
        chance={name: name for name in r.rows("chance")},
        by_chance={"test asks test": "generalization: chance P@5", "test asks train": "historical: chance P@5"},
        published="published_card22",
        protocols={"test asks test": "generalization P@5", "test asks train": "historical P@5"},
        as_published={
            "published": "published",
            "film → film": "image → image",
            "report → report": "report → report",
            "chance": "chance",
        },
    )


def main() -> None:
    results = Results.load(RESULTS, CITED)
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    readme.write_text(before + START + figures(results) + END + after, encoding="utf-8")
    checkpoint, companions = load_checkpoint("compact"), companions_of(RESULTS)
    (ROOT / "docs" / "model-card.md").write_text(model_card(results, checkpoint, companions), encoding="utf-8")
    (ROOT / "docs" / "datasheet.md").write_text(datasheet(results, checkpoint, companions), encoding="utf-8")


if __name__ == "__main__":
    main()
