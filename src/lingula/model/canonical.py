"""One manner of writing for the model: what a report says in lines, lists or a form, set as the prose it learnt from.

Pure functions of a text. Every character of the outcome knows where in the report it comes from, so that evidence is
shown in the reader's own words. Prose in American spelling comes out as it was, but for the numbers of a list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lingula.labels.assertions import Assertion
from lingula.labels.sentences import sentences


@dataclass(slots=True)
class Canonical:
    """A text and, for each of its characters, the characters ``report[start:end]`` that it stands for; and which of
    them the report does not have."""

    text: str = ""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    added: set[int] = field(default_factory=set)

    def keep(self, source: str, start: int, end: int) -> None:
        """Add a piece of the report as it is."""
        self.text += source[start:end]
        self.starts += range(start, end)
        self.ends += range(start + 1, end + 1)

    def put(self, words: str, start: int, end: int) -> None:
        """Add words that stand for a piece of the report."""
        self.added.update(range(len(self.text), len(self.text) + len(words)))
        self.text += words
        self.starts += [start] * len(words)
        self.ends += [end] * len(words)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The piece of the report that ``text[start:end]`` stands for."""
        return min(self.starts[start:end]), max(self.ends[start:end])

    def after(self, start: int, end: int) -> int:
        """Where in ``text`` the last character of the report's ``[start:end]`` ends; 0 where none of it is left."""
        if not self.added:
            return end - self.starts[0]
        places = enumerate(zip(self.starts, self.ends, strict=True))
        inside = (i + 1 for i, (a, b) in places if start <= a and b <= end and i not in self.added)
        return max(inside, default=0)


_MARK = re.compile(
    r"\s*(?:(?:[-*+>\u2022\u25aa\u25cf\u25e6\u2023\u00b7|]|\(?#?\d{1,2}[.)]|\(?[a-h]\))(?=\s|$)\s*)*", re.IGNORECASE
)
_LABELLED = re.compile(
    r"(?P<label>[A-Za-z][\w /'-]{2,50}?)\s*(?:[:=|\t]+|\s--?(?=\s))\s*(?P<answer>[^\n:|\t]{1,60}?)[\s.;]*$"
)
_BOXED = re.compile(
    r"(?P<label>[A-Za-z][\w /'-]{2,50}?)\s*:?\s*"
    r"(?P<answer>(?:\[[ _xXyYnN*]*\]|\( *[xX]? *\)|[\u2610-\u2612\u25a0\u25a1\u2713-\u2718]).{0,40})$"
)
_PLAIN_ANSWER = re.compile(
    r"(?:yes|present|seen|positive|identified|\+|x)?[ ,]*(?P<how>(?:(?:tiny|trace|small|mild|moderate|large|severe|"
    r"minimal|marked|stable|unchanged|chronic|acute|new|left|right|bilateral|"
    r"bibasilar|biapical|apical|basilar|basal|upper|middle|lower|lobe|lung|base|and|to|,) ?)*)",
    re.IGNORECASE,
)
_STOPS = ".?!"
_AMERICAN = {
    r"oedem": "edem", r"haem(?=[a-z])": "hem", r"tumour": "tumor", r"anaem": "anem", r"\boesoph": "esoph",
    r"aetiol": "etiol", r"colour": "color", r"(?<=cent)re(?=d?\b)": "er", r"(?<=fib)re(?=s?\b)": "er", r"grey": "gray",
    r"favour": "favor", r"neighbour": "neighbor", r"(?<=isch)aem": "em", r"paed(?=i)": "ped", r"orthopaed": "orthoped",
    r"(?<=[a-z]{3}[ltrnm])is(?=(?:ed|ing|ation)\b)": "iz", r"(?<=cath)etre": "eter", r"(?<=mill)imetre": "imeter",
    r"(?<=cent)imetre": "imeter", r"leucocyt": "leukocyt", r"caesar": "cesar",
    r"diarrhoea": "diarrhea",
    r"manoeuv": "maneuv", r"sulph": "sulf", r"artefact": "artifact", r"(?<=analy)s(?=ed\b)": "z",
}  # fmt: skip
_BRITISH = re.compile("|".join(f"({pattern})" for pattern in _AMERICAN), re.IGNORECASE)


def canonical(text: str, start: int, end: int, said: Sequence[Assertion]) -> Canonical:
    """A section as prose.

    List marks go, each line ends as a sentence, an answer behind a finding stands ahead of it ("Effusion: No" is "no
    effusion."), and British spelling is American. ``said`` are the report's assertions, telling what answers mean.
    """
    made = Canonical()
    for first, last in sentences(text, start, end):
        here = [each for each in said if first <= each.start and each.end <= last]
        _sentence(made, text, first, last, _answered(text, first, last, here))
    return made


def _answered(text: str, first: int, last: int, said: Sequence[Assertion]) -> tuple[str, int, int, int, int] | None:
    """An answer to a finding: (words ahead of the label, label's start and end, answer's start and end)."""
    first = _MARK.match(text, first, last).end()  # type: ignore[union-attr]  # it matches nothing, too
    last = first + len(text[first:last].rstrip(" \t\n|"))
    form = _BOXED.match(text, first, last) or _LABELLED.match(text, first, last)
    if form is None or not said or any(each.end > form.end("label") for each in said):
        return None
    meant = {"past" if each.past else each.polarity for each in said}
    place = *form.span("label"), *form.span("answer")
    if meant == {"absent"}:
        return "no", *place
    if meant == {"uncertain"}:
        return "possible", *place
    plain = _PLAIN_ANSWER.fullmatch(form["answer"])
    if meant == {"present"} and (plain or _BOXED.match(text, first, last)):
        return (plain["how"].strip(" ,") if plain else ""), *place
    return None


def _sentence(
    made: Canonical, text: str, first: int, last: int, answered: tuple[str, int, int, int, int] | None
) -> None:
    """Add one sentence without list mark, ended by a full stop, a blank behind it."""
    if answered:
        words, label, label_end, answer, answer_end = answered
        made.put(f"{words} " if words else "", answer, answer_end)
        _spelt(made, text, label, label_end)
        made.put(". ", answer_end - 1, answer_end)
        return
    first = _MARK.match(text, first, last).end()  # type: ignore[union-attr]
    last = first + len(text[first:last].rstrip(" \t\n|;,"))
    if first < last:
        _spelt(made, text, first, last)
        has_words = re.search(r"[A-Za-z0-9]", text[first:last]) is not None
        made.put(". " if has_words and text[last - 1] not in _STOPS else " ", last - 1, last)


def _spelt(made: Canonical, text: str, start: int, end: int) -> None:
    """Add a piece of the report in American spelling."""
    for word in _BRITISH.finditer(text, start, end):
        made.keep(text, start, word.start())
        made.put(list(_AMERICAN.values())[(word.lastindex or 1) - 1], *word.span())
        start = word.end()
    made.keep(text, start, end)
