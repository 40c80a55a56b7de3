"""Reports and questions after what people report from daily work, one a line of ``tried.jsonl``; and other words for
the same kinds in ``variants.jsonl``, written for the test.

``expected`` of a report: polarity by finding, or a list of those that are right (null: not mentioned); ``_side``: a
finding and a side it is named at. ``expected`` of a question: what is asked, by the query's attribute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lingula.labels import polarity, read_assertions
from lingula.reading.report_text import parse_report
from lingula.retrieval import Query

CASES = [
    json.loads(line)
    for name in ("tried.jsonl", "variants.jsonl")
    for line in Path(__file__).with_name(name).read_text("utf-8").splitlines()
]
REPORTS = [case for case in CASES if "report" in case]
QUESTIONS = [case for case in CASES if "question" in case]


@pytest.mark.parametrize("case", REPORTS, ids=[case["report"][:40] for case in REPORTS])
def test_report(case: dict[str, Any]) -> None:
    said = read_assertions(parse_report(case["report"])[0])
    expected = dict(case["expected"])
    expected.pop("_sections", None)
    if side := expected.pop("_side", None):
        assert tuple(side) in {(each.finding, each.side) for each in said}
    for finding, right in expected.items():
        assert polarity(said, finding) in (right if isinstance(right, list) else [right]), finding


@pytest.mark.parametrize("case", QUESTIONS, ids=[case["question"] for case in QUESTIONS])
def test_question(case: dict[str, Any]) -> None:
    query = Query.read(case["question"])
    assert {name: [str(each) for each in getattr(query, name)] for name in case["expected"]} == case["expected"]
    assert Query.read(query.question()).with_options(text=query.text) == query
