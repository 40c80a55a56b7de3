"""What an evaluation leaves on disk: JSON, Markdown, pages, and the arrays for a paired comparison.

Nothing in these files depends on time or machine: the same input gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from lingula.labels.vocabulary import Vocabulary
from lingula.study import DISCLAIMER
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.run import Evaluation
from lingula_lab.evaluation.searches import name_of
from lingula_lab.measures.table import Table
from lingula_lab.report.compare import ARRAYS, RESULTS
from lingula_lab.report.page import render, render_cases


def write(evaluation: Evaluation, out: Path, data: StudySet, vocabulary: Vocabulary) -> tuple[Path, ...]:
    """Write ``results.json``, ``results.md``, ``report.html``, ``scores.safetensors`` and, where the study set has the
    films, ``retrievals.html``; their paths."""
    out.mkdir(parents=True, exist_ok=True)
    json_file, markdown, html, arrays = (out / name for name in (RESULTS, "results.md", "report.html", ARRAYS))
    json_file.write_text(json.dumps(to_json(evaluation), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    markdown.write_text(to_markdown(evaluation), encoding="utf-8")
    page = render(evaluation, shown(evaluation.tables), provenance(evaluation))
    html.write_text(page, encoding="utf-8")
    save_file({key: np.ascontiguousarray(array) for key, array in evaluation.arrays.items()}, arrays)
    if not evaluation.cases or not len(data.films):
        return json_file, markdown, html, arrays
    retrievals = out / "retrievals.html"
    title = f"{name_of('image', 'image')}, test asks test"
    retrievals.write_text(render_cases(evaluation.cases, data, vocabulary, title), encoding="utf-8")
    return json_file, markdown, html, retrievals, arrays


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    tables = {table.key: table.to_json() for table in evaluation.tables}
    return {"disclaimer": DISCLAIMER, "about": evaluation.about, "tables": tables}


def to_markdown(evaluation: Evaluation) -> str:
    head = ["# Evaluation", "", f"{DISCLAIMER}", "", *(f"- {line}" for line in provenance(evaluation)), ""]
    return "\n".join(head) + "\n" + "\n".join(table.to_markdown() for table in shown(evaluation.tables))


def shown(tables: Sequence[Table]) -> list[Table]:
    """The tables of the page and of the Markdown: JSON also details every system label by label."""
    return [table for table in tables if not table.detail]


def provenance(evaluation: Evaluation) -> list[str]:
    """Where every figure comes from, a line each."""
    about = evaluation.about
    studies = ", ".join(f"{part} {count}" for part, count in about["data"]["studies"].items())
    bootstrap = about["bootstrap"]
    trained = "" if about["trained_on_this_split"] else " TRAINED ON ANOTHER SPLIT: it may know the test studies."
    return [
        f"Command: `{about['command']}`",
        f"Model {about['model']}, lingula {about['lingula']}.{trained}",
        f"Split {about['split']['name']}, sha256 {about['split']['sha256']}",
        f"Vocabulary {about['vocabulary']['name']}, sha256 {about['vocabulary']['sha256']}",
        f"Coded studies: {studies}; study set sha256 {about['data']['sha256']}",
        f"Intervals: 95 %, {bootstrap['resamples']} bootstrap resamples of studies, seed {bootstrap['seed']}",
    ]
