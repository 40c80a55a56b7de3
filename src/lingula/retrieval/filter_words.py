"""Words of a question that name the patients' age or a film's view: "over 60", "elderly", "lateral film"."""

from __future__ import annotations

import re
from typing import NamedTuple

from lingula.library.record import OLDEST
from lingula.study import View

Ages = tuple[int, int]
"""From and to, in years, both ends included."""


class Filters(NamedTuple):
    """What a text asks of patients and films, and the text without these words."""

    text: str
    age: Ages | None = None
    view: View | None = None


_YEARS = r"[ -]?(?:years?|yrs?|y)(?:[ -]?(?:old|of age|o))?\b"
_AGED = r"(?:(?:at )?(?:the )?age[ds]?:? (?:of |from |between )*)"
_NO_MEASURE = r"(?![\d.,]*\d)(?! ?(?:cm|mm|%|percent|degrees?|bpm|kg|lb|films?|views?|rd|th|nd|st)\b)"
_NUMBER = r"(?<![\d.,/])(\d{1,3})"
_PEOPLE = r"(?:adults?|patients?|people|persons?)"
_SEXED = r"(?:m[ae]n|wom[ae]n|lad(?:y|ies)|gentlem[ae]n|males?|females?)"
"""Words that stay in the text: a library knows nobody's sex."""
_AGES: tuple[tuple[str, Ages | None], ...] = (
    (rf"{_AGED}{_NUMBER} ?(?:-|to|and|until) ?(\d{{1,3}})\b(?:{_YEARS})?", None),
    (rf"(?:between )?{_NUMBER} ?(?:-|to|and) ?(\d{{1,3}}){_YEARS}(?: {_PEOPLE})?", None),
    (rf"(?:(?:aged?|age is) )?(?P<over>older than|over|above|>) ?{_NUMBER}\b{_NO_MEASURE}(?:{_YEARS})?", None),
    (rf"(?:(?:aged?|age is) )?(?P<under>younger than|under|below|<) ?{_NUMBER}\b{_NO_MEASURE}(?:{_YEARS})?", None),
    (rf"(?:{_AGED})?(?:at least )?{_NUMBER}(?:{_YEARS})? ?(?P<least>\+|(?:and|or) (?:over|older|above|more|up))", None),
    (rf"(?:{_AGED})?(?:at most )?{_NUMBER}(?:{_YEARS})? (?P<most>(?:and|or) (?:under|younger|below|less))", None),
    (r"(?:in )?(?:his|her|their|the) (?:early |mid-? ?|late )?(?P<decade>[1-8]0)'?s\b", None),
    (rf"{_AGED}{_NUMBER}\b{_NO_MEASURE}(?:{_YEARS})?", None),
    (rf"{_NUMBER}(?:[ -]years?[ -]?old|[ -]?y/?o)\b(?: {_PEOPLE})?", None),
    (rf"(?:the )?(?:elderly|geriatric)(?: {_PEOPLE})?|old {_PEOPLE}|old(?= {_SEXED}\b)|seniors", (65, OLDEST)),
    (rf"middle[ -]aged(?: {_PEOPLE})?", (40, 64)),
    (r"young (?:adults?)", (18, 39)),
    (rf"young {_PEOPLE}|young(?= {_SEXED}\b)", (0, 39)),
    (r"adults|adult (?:patients?|people|persons?|men|women)", (18, OLDEST)),
    (r"(?:newborns?|neonat(?:es?|al))(?: \w*patients?)?", (0, 0)),
    (r"(?:infants?|bab(?:y|ies))", (0, 1)),
    (r"(?:adolescents?|teen(?:ager)?s?)(?: patients?)?", (10, 19)),
    (r"(?:child(?:ren)?|kids?|p(?:a?e)diatrics?)(?: patients?)?", (0, 17)),
)
_AGE = tuple((re.compile(rf"(?<![\w-])(?:{pattern})(?!\w)", re.IGNORECASE), ages) for pattern, ages in _AGES)
_VIEW = re.compile(
    r"(?<![\w-])(?:(?:has|have|having|with|in|on|an?|the) )*(?P<view>lateral|frontal|pa|ap)[ -]"
    r"(?:views?|films?|radiographs?|projections?|images?|x-?rays?)(?!\w)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:not|no|non|without|excluding|except(?: for)?|never|isn't|aren't)(?: (?:in|for|the|an?|on|of))*[ -]*$", re.I
)
_LEADING = re.compile(r"(?:(?:^|(?<=[\s,;]))(?:in|of|for|among|from|only|patients?|people))+\s*$", re.IGNORECASE)


def filters(text: str) -> Filters:
    """The ages and the view that a text names; a second age or view stays in the text.

    What is denied ("not elderly") is the ages above or below, where the range ends at either end of life; else its
    words stay in the text.
    """
    age: Ages | None = None
    for pattern, named in _AGE:
        match = pattern.search(text) if age is None else None
        if match is None:
            continue
        asked = named or _ages(match)
        denial = _DENIED.search(text, 0, match.start())
        if denial and asked:
            asked = others(asked)
        if asked is None:
            continue
        start = denial.start() if denial else match.start()
        age, text = asked, _cut(text, start, match.end())
    view: View | None = None
    if (found := _VIEW.search(text)) and not _DENIED.search(text, 0, found.start()):
        view = {"pa": "frontal", "ap": "frontal"}.get(found["view"].lower(), found["view"].lower())  # type: ignore[assignment]
        text = _cut(text, *found.span())
    return Filters(text, age, view)


def others(ages: Ages) -> Ages | None:
    """All ages but these; None where they are two ranges."""
    youngest, oldest = ages
    if youngest == 0 and oldest < OLDEST:
        return oldest + 1, OLDEST
    return (0, youngest - 1) if oldest >= OLDEST and youngest > 0 else None


def _cut(text: str, start: int, end: int) -> str:
    """The text without these characters, and without the words that only led to them."""
    before, after = _LEADING.sub("", text[:start]), text[end:]
    return f"{before} {after}" if before.strip(" ,;") and after.strip(" ,;") else before.strip(" ,") + after.strip(" ,")


def _ages(match: re.Match[str]) -> Ages | None:
    """The range that numbers name; None for one that is no range of ages."""
    groups = match.groupdict()
    if groups.get("decade"):
        first = int(groups["decade"])
        return first, first + 9
    numbers = [int(value) for value in match.groups() if value and value.isdecimal()]
    if not numbers or numbers != sorted(numbers) or numbers[-1] > 120:
        return None
    first, last = min(numbers[0], OLDEST), min(numbers[-1], OLDEST)
    if groups.get("over"):
        first, last = min(first + 1, OLDEST), OLDEST
    elif groups.get("under"):
        first, last = 0, max(first - 1, 0)
    elif groups.get("least"):
        last = OLDEST
    elif groups.get("most"):
        first = 0
    return first, last
