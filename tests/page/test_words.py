"""The words of the pages: none that the field does not use, each of the glossary with one meaning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lingula.page.glossary import glossary

ROOT = Path(__file__).parents[2]
BLACK = (
    "cut",
    "cuts",
    "spares",
    "spared",
    "likeness",
    "logit",
    "logits",
    "folded",
    "flagged finding",
    "heatmap",
    "scan",
)
PLACES = ("src/lingula/page/templates", "src/lingula/server/templates")
TEMPLATES = [path for place in PLACES for path in sorted((ROOT / place).glob("*.html"))]


def shown(text: str) -> str:
    """What a reader of a template sees: no comments, of tags only titles, of expressions only strings."""
    text = re.sub(r"\{#.*?#\}", " ", text, flags=re.DOTALL)
    text = re.sub(
        r"\{[{%].*?[%}]\}", lambda found: " ".join(re.findall(r'"([^"]* [^"]*)"', found[0])), text, flags=re.DOTALL
    )
    titles = re.findall(r'(?:title|aria-label|placeholder|alt)="([^"]*)"', text)
    return " ".join([re.sub(r"<[^>]*>", " ", text), *titles])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.parent.name}/{path.name}")
def test_no_template_uses_a_word_of_the_black_list(path: Path) -> None:
    words = shown(path.read_text("utf-8")).lower()
    assert [word for word in BLACK if re.search(rf"(?<![\w-]){word}(?![\w-])", words)] == []


def test_no_script_says_a_word_of_the_black_list() -> None:
    scripts = (ROOT / "src/lingula/server/static").glob("*.js")
    said = [
        (path.name, word)
        for path in scripts
        for text in re.findall(r'"([^"\n]* [^"\n]*)"|`([^`]* [^`]*)`', path.read_text("utf-8"))
        for word in BLACK
        if re.search(rf"(?<![\w.-]){word}(?![\w-])", " ".join(text).lower())
    ]
    assert said == []


def test_every_term_has_one_meaning_of_its_own() -> None:
    terms = glossary().values()
    assert len({term.name.lower() for term in terms}) == len({term.meaning for term in terms}) == len(terms)
    assert all(term.meaning.endswith(".") for term in terms)


def test_every_term_that_a_template_names_is_in_the_glossary() -> None:
    named = {key for path in TEMPLATES for key in re.findall(r'term\("([\w-]+)"', path.read_text("utf-8"))}
    assert named
    assert named <= glossary().keys()
