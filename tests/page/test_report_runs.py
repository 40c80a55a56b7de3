"""Marked text is the text again, and the marks stand where the tokens are."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lingula.page.report_runs import LEVELS, ReportRun, runs, strongest, token_levels
from lingula.study import Report, TokenScore

tokens = st.builds(TokenScore, st.integers(-5, 60), st.integers(-5, 60), st.floats())


@given(st.text(max_size=50), st.lists(tokens, max_size=12))
def test_runs_put_together_are_the_text(text, scored):
    found = runs(Report(text, ()), scored)
    assert "".join(run.text for run in found) == text
    assert all(abs(run.level) <= LEVELS and run.text for run in found)


def test_where_tokens_overlap_the_stronger_is_drawn():
    found = runs(Report("abcdef", ()), [TokenScore(0, 4, 1.0), TokenScore(2, 5, -0.5), TokenScore(3, 9, 0.06)])
    assert found == (ReportRun("abcd", 5, 1.0), ReportRun("e", -2, -0.5), ReportRun("f"))


def test_neighbouring_tokens_of_one_level_stay_apart():
    assert [run.text for run in runs(Report("abcd", ()), [TokenScore(0, 2, 1.0), TokenScore(2, 4, 1.0)])] == [
        "ab",
        "cd",
    ]


def test_headings_are_found_between_sections_only():
    report = Report.from_sections(findings="Clear.", impression="FINDINGS: normal.")
    assert [run.text for run in runs(report) if run.heading] == ["FINDINGS:", "IMPRESSION:"]


def test_levels_are_relative_to_the_strongest_finite_score():
    assert token_levels([2.0, -1.0, 0.1, math.nan, math.inf]) == [5, -2, 0, 0, 0]
    assert token_levels([0.0, -0.0]) == [0, 0]


def test_strongest_ranks_by_magnitude_then_by_place():
    report = Report("one two three", ())
    scored = [TokenScore(0, 3, 0.5), TokenScore(4, 7, -0.5), TokenScore(8, 13, 0.9), TokenScore(3, 4, 7.0)]
    assert strongest(report, scored) == (("three", 0.9), ("one", 0.5), ("two", -0.5))
    assert strongest(report, scored, count=1) == (("three", 0.9),)
