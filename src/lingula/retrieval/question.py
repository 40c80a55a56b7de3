"""A question in words: what is asked of findings, sides and places, and the words that are left.

A question is read in parts. A part in the words in which a query is printed ("no effusion (right, base)") is looked
up; every other is read as a report is, after words that only questions use ("excluding", "both", "-pneumonia") were
put as a report would put them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import get_args

from lingula.labels import Vocabulary, read_assertions, search_findings
from lingula.labels.assertion_rules import load_rules, places_within
from lingula.labels.assertions import unread_words
from lingula.labels.findings import label_meaning, narrowest
from lingula.labels.languages import language_data
from lingula.labels.laterality import Side
from lingula.labels.sentences import folded
from lingula.retrieval.filter_words import Ages, filters
from lingula.study import Report, View

Where = tuple[str, Side | None, str | None]
"""A finding's code, its side and its place."""


@dataclass(slots=True)
class Asked:
    """What a question asks, in its order; each entry a ``Where``."""

    present: list[Where] = field(default_factory=list)
    absent: list[Where] = field(default_factory=list)
    uncertain: list[Where] = field(default_factory=list)
    either: list[Where] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    age: Ages | None = None
    view: View | None = None
    last: Where | None = None


def understand(text: str) -> Asked:
    """Read a question."""
    asked = Asked()
    plain, asked.age, asked.view = filters(_QUOTED.sub(lambda quoted: _keep(asked, quoted), folded(text)))
    for part in re.split(r"[;\n]+", plain):
        for piece in _pieces(_rewritten(part)):
            if piece.strip() and not _printed(asked, piece.strip(" .")):
                _natural(asked, piece)
    return asked


_QUOTED = re.compile(r'"([^"]*)"')


def _keep(asked: Asked, quoted: re.Match[str]) -> str:
    asked.words += [quoted[1]] if quoted[1].strip() else []
    return ";"


_EXCLUDING = (
    "excluding", "excludes?", r"excl\.?", "except(?:ing)?(?: for)?", "minus", "not with", "other than", "apart from",
    "aside from", "lacking", "barring", "with the exception of", "rather than", "instead of",
    "(?:that|which) (?:do|does) not (?:have|show)", "who (?:do|does) not have",
)  # fmt: skip
_SIDED = "(?:left|right)(?:-sided)?"
_REWRITES = [
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        (r"\b(?:all|anything|everything|any) (?:but|except(?: for)?)\b", "without"),
        (r"\bonly\b", ""),
        (r"(?:^|(?<=[\s,(]))\+ ?(?!ve\b)(?=[a-z])", ", with "),
        (r"(?:^|(?<=[\s,(]))[-!](?!sided\b|ve\b)(?=[a-z])", ", without "),
        (r"\b(excluding|except(?: for)?|but not|without|not) (?:those|ones|cases|all)(?: with)?\b", r"\1"),
        (r"\b(?:but|and) (?:excluding|except(?: for)?|without|not with)\b", "without"),
        (rf"\b(?:{'|'.join(_EXCLUDING)})\b", "without"),
        (r"\b(?:and|but) (?:also )?with\b", ", with"),
        (r"\bboth (?!(?:lungs?|sides?|bases|apices|hemi\w*|upper|lower|mid\w*|hil\w+|lobes?)\b)(?=.* and )", ""),
        (rf"\b(?:{_SIDED} or {_SIDED}|(?:on )?either(?: side)?)(?: side(?:d)?)?\b", ""),
        (r"(?<=[a-z][a-z][a-z])/(?=[a-z][a-z][a-z])", " or "),
    )
]
"""What only questions say, and what a report would say."""
_INTERROGATIVE = re.compile(
    r"\s*(?:is|are|any|does|do|has|have|which|who|what|where|show|find|can|could|search|give|list)\b", re.IGNORECASE
)


def _rewritten(part: str) -> str:
    """A part of a question as a report would put it."""
    for pattern, by in _REWRITES:
        part = pattern.sub(by, part)
    if part.rstrip().endswith("?") and (_INTERROGATIVE.match(part) or len(part.split()) > 4):
        part = part.rstrip(" ?")
    return part


_LIST = re.compile(r"\b(?:n?or|and)\b", re.IGNORECASE)


def _pieces(part: str) -> Iterator[str]:
    """A part at its commas; those of a list that "or" or "and" closes stay ("no effusion, edema or mass")."""
    pieces = re.split(r",(?![^()]*\))", part)
    closing = next((at for at in range(1, len(pieces)) if _LIST.search(pieces[at])), 0)
    opening = next((at for at in range(closing) if _DENIAL.match(pieces[at])), closing)
    yield from pieces[:opening]
    yield ",".join(pieces[opening : closing + 1])
    if closing + 1 < len(pieces):
        yield from _pieces(",".join(pieces[closing + 1 :]))


_DENIAL = re.compile(r"\s*(?:no|not|without|nor|neither|w/o|nil|negative for|free of|possible|probable)\b", re.I)


def _printed(asked: Asked, piece: str) -> bool:
    """Add a part in printed words; False where it is none."""
    match = _prefix().match(piece)
    kind, at = ((match[1] or "present").lower(), match.end()) if match else ("present", 0)
    found = []
    while item := _item().match(piece, at):
        where = _where(item)
        if where is None:
            return False
        found.append(where)
        at = item.end()
        joint = re.compile(r"\s+or\s+", re.IGNORECASE).match(piece, at)
        if not joint:
            break
        at = joint.end()
    if not found or at != len(piece):
        return False
    group = {"no": asked.absent, "possible": asked.uncertain, "one of": asked.either}.get(kind, asked.present)
    if len(found) > 1 and kind == "present":
        group = asked.either
    group += found
    asked.last = found[-1]
    return True


def _where(item: re.Match[str]) -> Where | None:
    """A printed finding; None where its parenthesis holds anything but a side and a place."""
    side: Side | None = None
    place = None
    for word in filter(None, (part.strip().lower() for part in (item["where"] or "").split(","))):
        if word in get_args(Side) and side is None:
            side = word
        elif word in places_within() and place is None:
            place = word
        else:
            return None
    code = codes()[re.sub(r"\s+", " ", item["name"].lower())]
    return (code, side, place) if code or side or place else None


@cache
def _prefix() -> re.Pattern[str]:
    return re.compile(r"(?:(no|possible|one of)\s+)", re.IGNORECASE)


@cache
def _item() -> re.Pattern[str]:
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(codes(), key=len, reverse=True))
    return re.compile(rf"(?P<name>{names})(?!\w)(?:\s*\((?P<where>[^()]*)\))?", re.IGNORECASE)


ANY = "any finding"


@cache
def codes() -> dict[str, str]:
    """What a printed finding is called, in lower case, and its code; the empty code for any finding.

    A label that a finding stands for is asked for as this finding.
    """
    labels = Vocabulary.load("openi22").labels
    found = {label.name.lower(): label.code for label in labels} | {label.code: label.code for label in labels}
    for code, finding in search_findings().items():
        if (label := label_meaning(code)) and label != code:
            found |= {name: code for name, known in found.items() if known == label and name != label}
        found |= {code: code, finding.name.lower(): code}
    several = {f"{name}s": code for name, code in found.items() if name.isalpha() and f"{name}s" not in found}
    return {ANY: "", **several, **found}


@cache
def printed_names() -> dict[str, str]:
    """By code, the words in which a finding is printed: its name, or its code where the name would mislead."""
    names = {label.code: label.name.lower() for label in Vocabulary.load("openi22").labels}
    names |= {code: finding.name.lower() for code, finding in search_findings().items()}
    return {"": ANY} | {
        code: next(n for n in (name, code) if codes().get(n) == code and "," not in n) for code, name in names.items()
    }


_NORMAL = re.compile(
    r"""\b(?:no|without|nil)(?:[ ]evidence[ ]of)?[ ]
        (?:(?:acute|active|significant|cardiopulmonary|focal|chest|lung|visible|pulmonary|radiographic|other)[ ])*
        (?:diseases?|abnormalit(?:y|ies)|findings?|process|patholog(?:y|ies)|changes?)\b
    | \b(?:unremarkable|healthy|nothing[ ](?:abnormal|wrong)|within[ ]normal[ ]limits|(?:ab)?normal)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ABNORMAL = re.compile(
    r"""(?:\b(?:not|no|non|isn't|aren't|without|excluding)\b[\s-]*(?:an?[ ]|the[ ])?
        (?:unremarkable|healthy|(?:within[ ])?normal)
    | (?<!nothing[ ])\babnormal)$""",
    re.IGNORECASE | re.VERBOSE,
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_NOT_THERE = re.compile(
    r"(?:\b(?:but|and)\s+)?\b(?:not|without|no|never)(?:\s+(?:on|in|at|of))?(?:\s+the)?\s+(?P<where>[\w-]+(?:\s+[\w-]+){0,3}?)"
    r"(?:\s+(?:side|one))?\s*$",
    re.IGNORECASE,
)  # fmt: skip


def _natural(asked: Asked, text: str) -> None:
    """Add a part in a person's own words: each mention with its polarity, side and place; then the words left over."""
    rules = load_rules()
    text, elsewhere = _not_there(text)
    report = Report.from_sections(findings=text)
    if text.strip() and not read_assertions(report) and (english := _translated(text)):
        text, report = english, Report.from_sections(findings=english)
    offset = report.sections[0].start if report.sections else 0
    said = read_assertions(report)
    for span in dict.fromkeys((each.start, each.end) for each in said):
        here = [each for each in said if (each.start, each.end) == span]
        for code in narrowest(each.finding for each in here):
            each = next(each for each in here if each.finding == code)
            group = {"present": asked.present, "absent": asked.absent}.get(each.polarity, asked.uncertain)
            if each.polarity == "likely" and _OR.search(text):
                group = asked.either
            asked.last = (code, each.side, each.place)
            group.append(asked.last)
    words = list(unread_words(report.text[offset:]))
    if not said and (normal := _NORMAL.search(text)):
        group = asked.absent if _ABNORMAL.search(text, 0, normal.end()) else asked.present
        group.append(("normal", None, None))
        words = list(unread_words(text[: normal.start()] + " " + text[normal.end() :]))
    sides = [match.lastgroup for match in rules.sides.finditer(text)]
    places = [
        match.lastgroup
        for match in rules.places.finditer(text)
        if not ((both := rules.sides.match(text, match.start())) and both.lastgroup in {each.side for each in said})
    ]
    side = next((side for side in sides if side not in {each.side for each in said}), None)
    place = next((place for place in places if place not in {each.place for each in said}), None)
    if (side or place) and not elsewhere:
        known = {each[0] for each in asked.either}
        if len(known) == 1 and _OR.search(text):  # "nodule in the right upper or left lower lobe"
            asked.either.append((*known, side, place))  # type: ignore[arg-type]
        else:  # named beside no finding: any finding there
            asked.present.append(("", side, place))  # type: ignore[arg-type]
    if elsewhere:
        finding = asked.last[0] if asked.last else ""
        asked.absent.append((finding, *elsewhere))
    asked.words += [f"no {word}" if _is_denied(text, word) else word for word in words]


def _is_denied(text: str, word: str) -> bool:
    """Whether a word that names no finding stands in a denial: "effusion without surgery"."""
    at = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    return at is not None and _DENIES.search(text, 0, at.start()) is not None


_DENIES = re.compile(
    r"\b(?:no|not|without|w/o|nor|never|neither)\b(?!\s+only\b)"
    r"(?:(?!\b(?:but|with|however|only|(?<!not )in|due)\b)[^;.])*$",
    re.IGNORECASE,
)


def _not_there(text: str) -> tuple[str, tuple[Side | None, str | None] | None]:
    """The text without a place that is denied at its end ("effusion, not on the left"), and that place."""
    found, rules = _NOT_THERE.search(text), load_rules()
    if not found:
        return text, None
    where = found["where"]
    side, place = rules.sides.search(where), rules.places.search(where)
    if not (side or place) or list(rules.mentions.finditer(where, 0, len(where))) or unread_words(where):
        return text, None
    return text[: found.start()], (side.lastgroup if side else None, place.lastgroup if place else None)  # type: ignore[return-value]


def _translated(text: str) -> str | None:
    """A question in another language in English, as far as ``languages.json`` goes; None where it names no finding."""
    best, most = None, 0
    for entry in language_data()["languages"].values():
        english, count = text, 0
        for words, name in ((entry["not"], "no"), (entry["without"], "without")):
            if not words:
                continue
            english, found = re.subn(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", f" {name} ", english, flags=re.IGNORECASE)
            count += found
        for name, words in entry["terms"].items():
            english, found = re.subn(rf"(?<!\w)(?:{words})(?!\w)", f" {name} ", english, flags=re.IGNORECASE)
            count += found if name in search_findings() else 0
        if count > most and read_assertions(Report.from_sections(findings=english)):
            best, most = english, count
    return best


def printed(finding: str, side: str | None, place: str | None) -> str:
    """A finding in words that are read back as the same: "effusion (right, base)"."""
    where = ", ".join(filter(None, (side, place)))
    return printed_names()[finding] + (f" ({where})" if where else "")


def question(
    present: Sequence[Where], either: Sequence[Where], absent: Sequence[Where], uncertain: Sequence[Where],
    words: Sequence[str], age: Ages | None = None, view: View | None = None,
) -> str:  # fmt: skip
    """A question in words that are read back as the same."""
    parts = [printed(*each) for each in present]
    if either:
        parts.append(("" if len(either) > 1 else "one of ") + " or ".join(printed(*each) for each in either))
    parts += [f"no {printed(*each)}" for each in absent]
    parts += [f"possible {printed(*each)}" for each in uncertain]
    parts += [f"age {age[0]} to {age[1]}"] if age else []
    parts += [f"{view} film"] if view else []
    parts += ['"' + word.replace('"', "") + '"' for word in words]
    return "; ".join(parts)
