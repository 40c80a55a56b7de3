"""Where the sentences of a report end: at full stops, at lines, bullets and cells of a table; not inside a wrapped one.

Text is read as ``folded`` gives it: of the same length as the report, so that spans hold in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lingula.labels.assertion_rules import Rules, load_rules

LONGEST = 1000
"""Characters after which a run of text without an end is cut, so that no input takes quadratic time."""


class Span(NamedTuple):
    """``text[start:end]``."""

    start: int
    end: int


_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000\ufeff\u200b\u200c\u200d", " "),
        **dict.fromkeys(map(chr, range(0x2000, 0x200B)), " "),
        "\u2026": ".",
        **dict.fromkeys("\r\v\f\x85\u2028\u2029", "\n"),
        **dict.fromkeys("\u2502\u2503\u00a6\uff5c", "|"),
    }
)  # fmt: skip
_MARKUP = re.compile(
    r"</?[a-z][^<>\n]{0,200}>|\\\.(?:br|sp)\d*\\|\\n(?=(?-i:[A-Z])|\s|$)|&(?:nbsp|#160|#xa0);", re.IGNORECASE
)
_INLINE = re.compile(r"</?(?:b|i|u|em|strong|span|font|a|sub|sup)\b|&", re.IGNORECASE)


def folded(text: str) -> str:
    """The text with plain quotes, dashes and spaces, and blanks or line ends for markup; of the same length."""
    text = text.translate(_PLAIN)
    return _MARKUP.sub(_blank, text) if "<" in text or "\\" in text or "&" in text else text


def _blank(markup: re.Match[str]) -> str:
    size = len(markup.group())
    return " " * size if _INLINE.match(markup.group()) else "\n" + " " * (size - 1)


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentences of a part of a text, blanks at their ends included."""
    yield from split(folded(text), start, end)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a part of a text is set.

    Attributes:
        capitals: in capitals throughout, so that a capital tells nothing.
        wrapped: sentences run over lines; otherwise each line is a statement.
        width: characters of its longest line.
    """

    part: Span
    capitals: bool
    wrapped: bool
    width: int

    @classmethod
    def of(cls, text: str, part: Span, rules: Rules) -> _Layout:
        lines = [line.strip() for line in text[part.start : part.end].split("\n") if line.strip()]
        stops = [line.endswith(".") for line in lines]
        inside = (m[1] for m in _INSIDE.finditer(text, *part))
        wrapped = any(not rules.abbreviations.fullmatch(word) for word in inside) or (any(stops) and not all(stops))
        return cls(part, not _LOWER.search(text, *part), wrapped, max(map(len, lines), default=0))


_INSIDE = re.compile(r"(?:(?<=\s)|^)(\S*[A-Za-z)])\.[ ]+[A-Za-z]", re.MULTILINE)


def split(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentences of a part of a folded text."""
    rules = load_rules()
    layout = _Layout.of(text, Span(start, end), rules)
    for stop in _CANDIDATE.finditer(text, start, end):
        if stop.end() > start and _is_end(text, start, stop, rules, layout):
            yield from _cut(text, start, stop.end())
            start = stop.end()
    if start < end:
        yield from _cut(text, start, end)


_LOWER = re.compile("[a-z]")
_CANDIDATE = re.compile(
    r"""(?P<stop>[.?!]+["')\]]*(?=\s|$))      # a full stop, perhaps in quotes
    | (?P<glued>(?:(?:(?<=[A-Za-z]{3})|(?<=[)"']))[.?!]|(?<=\s)\.)[)"']*(?=[A-Za-z]{2}|A\s|\d+\s?[cm]m\b))
    | (?P<semicolon>;|(?<=\s)//(?=\s)|~)
    | (?P<line>\n\s*)
    | (?P<cell>[|\t][ |\t]*)
    | (?P<number>(?<=\s)(?=(?:\#\d{1,2}[.)]?|\(?(?:\d{1,2}[)/]|[a-h]\))|(?:i{1,3}|iv|vi{0,3}|ix)\))\s))   # "1) … 2) …"
    | (?P<bullet>(?<=\s)(?=[*\u2022\u25aa\u25cf\u25e6\u2023\u00b7]\s))""",
    re.VERBOSE,
)
_WORD_BEFORE = re.compile(r"[\w./+-]+$")
_UPPER_NEXT = re.compile(r"\s+[\"'(]?[A-Z0-9]")
_ITEM = re.compile(
    r"(?:[-*+>\u2022\u25aa\u25cf\u25e6\u2023\u00b7]|\(?\d{1,2}[.)]|\(?[a-z]\)|\[[ xX]?\]|[\u2610-\u2612])\s"
)
_HEADING = re.compile(r"[A-Za-z][\w /-]{2,40}:")


def _is_end(text: str, start: int, stop: re.Match[str], rules: Rules, layout: _Layout) -> bool:
    """Whether a candidate ends the sentence that begins at ``start``."""
    end = layout.part.end
    match stop.lastgroup:
        case "stop":
            if stop.end() - stop.start() > 2 and rules.answer_line.match(text, stop.end(), end):
                return False  # "Effusion .... No"
            if text[stop.start()] == "?":
                if stop.start() == start or text[stop.start() - 1] in " \t\n(":
                    return False  # "? effusion"
                return not rules.answer_line.match(text, stop.end(), end)
            return not (text[stop.start()] == "." and _is_abbreviation(text, start, stop, rules, layout.capitals))
        case "line":
            return not _goes_on(text, start, Span(*stop.span()), rules, layout)
        case "semicolon" if rules.answer_line.match(text, stop.end(), end):
            return not _is_labelled(text, Span(start, end), stop, rules)
        case "cell":
            return not _is_labelled(text, Span(start, end), stop, rules)
        case _:
            return True


def _is_abbreviation(text: str, start: int, stop: re.Match[str], rules: Rules, capitals: bool) -> bool:
    word = _WORD_BEFORE.search(text, max(start, stop.start() - 20), stop.start())
    if not word or not rules.abbreviations.fullmatch(word.group()):
        return False
    opens = not text[start : word.start()].strip()
    return opens or capitals or not _UPPER_NEXT.match(text, stop.end())


def _goes_on(text: str, start: int, gap: Span, rules: Rules, layout: _Layout) -> bool:
    """Whether the line behind ``gap`` continues the one ahead of it, in the sentence that begins at ``start``."""
    end = layout.part.end
    line = text[max(text.rfind("\n", 0, gap.start) + 1, layout.part.start) : gap.start].strip()
    if not text[start : gap.start].strip() or gap.end >= end or _ITEM.match(text, gap.end):
        return False
    lower = text[gap.end].islower()
    if _ENDED.search(line):
        last = line.rstrip(".").rpartition(" ")[2]
        return lower and rules.abbreviations.fullmatch(last) is not None
    if rules.answer_line.match(text, gap.end, end) and len(line) < 60:
        return True
    if _VALUE.search(line) and not lower:
        return False
    if (line[-1] in ",/&(-" and not line.endswith("--")) or rules.open_ends.search(line):
        return not _HEADING.match(text, gap.end, end)
    if not (lower or layout.capitals):
        return False
    if rules.weak_ends.search(line) or rules.continuing.match(text, gap.end, end):
        return True
    return layout.wrapped and len(line) >= 0.6 * layout.width and not rules.closed_end.search(line)


def _is_labelled(text: str, rest: Span, gap: re.Match[str], rules: Rules) -> bool:
    """Whether the cell of a table behind a gap is the answer to the one ahead: a finding by itself."""
    start = max(rest.start, *(text.rfind(edge, rest.start, gap.start()) + 1 for edge in "\n|\t"))
    label = text[start : gap.start()].rstrip(" :=")
    if text[start : gap.start()] != label and text[gap.start() - 1] in ":=":
        return True
    named = list(rules.mentions.finditer(label, 0, len(label)))
    edges = [at for edge in "|\t\n" if (at := text.find(edge, gap.end(), rest.end)) >= 0]
    cell = gap.end(), min(edges, default=rest.end)
    alone = len(named) == 1 and named[0][2] == len(label) and len(label[: named[0][1]].split()) < 2
    return (
        alone
        and not list(rules.any_modifier.finditer(label, 0, len(label)))
        and not list(rules.mentions.finditer(text, *cell))
    )


_VALUE = re.compile(r"(?:(?:[:=|\t]|\s-)\s*|[,;])\w+(?: \w+)?$")
_ENDED = re.compile(r"[.?!:;|][\"')\]]*$")


def _cut(text: str, start: int, end: int) -> Iterator[Span]:
    while end - start > LONGEST:
        space = text.rfind(" ", start + 1, start + LONGEST)
        cut = start + LONGEST if space < 0 else space
        yield Span(start, cut)
        start = cut
    if start < end:
        yield Span(start, end)
