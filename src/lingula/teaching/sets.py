"""Teaching sets: named lists of studies with a question, marks drawn on the films, a hint and a key point.

A set holds study ids and what its teacher wrote and drew, nothing of a film or report: it travels as one JSON file to
another library of the same collection.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from lingula.deidentification.handout import handout_words
from lingula.errors import InputError, LibraryError
from lingula.labels.assertions import FOUND, polarity, read_assertions
from lingula.labels.findings import label_of
from lingula.library import Library, StudyRecord, Summary
from lingula.library.teaching_records import SetRecord
from lingula.plain import DISCLAIMER

Shape = Literal["box", "point", "arrow"]
POINTS: Mapping[Shape, int] = {"box": 2, "point": 1, "arrow": 2}
QUESTION = "What does it show?"
FORMAT = "lingula teaching set 1"
MOST_CASES, MOST_DRAWINGS, MOST_CHOICES, LONGEST, TITLE = 200, 20, 12, 1000, 200
CHOICES = 8
"""Findings to tick where the teacher names none: those that the set's studies show most often, and some beside."""
LEAST_CHOICES = 4


@dataclass(frozen=True, slots=True)
class Drawing:
    """A mark on a film.

    Attributes:
        film: position of the film in the study.
        points: (x, y) in shares of the film's width and height, from its upper left corner: two corners of a box, a
            point, or the tail and the tip of an arrow.
        text: a word beside it.
    """

    shape: Shape
    film: int
    points: tuple[tuple[float, float], ...]
    text: str = ""

    @property
    def target(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom of what it points at: a point for an arrow's tip."""
        marked = self.points[-1:] if self.shape == "arrow" else self.points
        xs, ys = [x for x, _ in marked], [y for _, y in marked]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True)
class TeachingCase:
    """A study of a set.

    Attributes:
        question: asked instead of the set's, where it is not empty.
        findings: codes of what it shows, where the teacher says so; None: as it is coded or reported.
        partner: the study that a pair drill shows beside it; empty for the nearest that lacks what this one shows.
    """

    study_id: str
    question: str = ""
    hint: str = ""
    key_point: str = ""
    findings: tuple[str, ...] | None = None
    drawings: tuple[Drawing, ...] = ()
    partner: str = ""


@dataclass(frozen=True, slots=True)
class TeachingSet:
    """A named list of studies. ``version`` counts its changes; ``choices`` are codes to tick, empty for those of the
    set's own studies."""

    set_id: str
    owner: str
    title: str
    cases: tuple[TeachingCase, ...] = ()
    question: str = QUESTION
    choices: tuple[str, ...] = ()
    version: int = field(default=1)
    disclaimer: str = DISCLAIMER

    def to_json(self) -> dict[str, Any]:
        """As the API answers and ``--json`` prints."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Any, *, set_id: str, version: int = 1) -> TeachingSet:
        """Read what ``to_json`` or a person wrote.

        Raises:
            InputError: ``bad_request``, naming what is wrong.
        """
        if not isinstance(body, dict):
            raise _wrong("a set is an object with a title and cases")
        cases = _listed(body, "cases", MOST_CASES)
        made = tuple(_case(each) for each in cases)
        if len({case.study_id for case in made}) < len(made):
            raise _wrong("a study stands in the set twice")
        title = _text(body, "title", TITLE).strip()
        if not title:
            raise _wrong("the set has no title")
        return cls(
            set_id=set_id, owner=_text(body, "owner", TITLE).strip(), title=title, cases=made,
            question=_text(body, "question", LONGEST) or QUESTION, choices=_codes(body, "choices"), version=version,
        )  # fmt: skip

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(case.study_id for case in self.cases)


@dataclass(frozen=True, slots=True)
class SetLine:
    """A set in a list of sets; ``studies`` says how many."""

    set_id: str
    title: str
    owner: str
    studies: int


@dataclass(frozen=True, slots=True)
class SetList:
    """Sets, by title."""

    sets: tuple[SetLine, ...]
    disclaimer: str = DISCLAIMER


# -- stored


def new_set(library: Library, title: str, *, owner: str, study_ids: Sequence[str]) -> TeachingSet:
    """Make and store a set of these studies, in this order.

    Raises:
        InputError: ``bad_request`` without a title, for a study named twice or too many. LibraryError:
        ``study_unknown``.
    """
    cases = [{"study_id": study_id} for study_id in study_ids]
    return add_set(library, {"title": title, "owner": owner, "cases": cases})


def add_set(library: Library, body: Any) -> TeachingSet:
    """Store a set read from JSON under a new id; every study must be in the library."""
    made = TeachingSet.from_json(body, set_id=f"set-{secrets.token_hex(6)}")
    require_studies(library, made.ids)
    library.teaching.add_set(_record(made))
    return made


def load_set(library: Library, set_id: str) -> TeachingSet:
    """A stored set, by its id or its title where only one has it.

    Raises:
        LibraryError: ``set_unknown``, also for a title that several have.
    """
    named = [each for each in library.teaching.sets() if each.title == set_id]
    if len(named) > 1:
        ids = ", ".join(each.set_id for each in named)
        raise LibraryError(
            "set_unknown", f"{len(named)} sets have the title {set_id!r}.", f"Name one by its id: {ids}."
        )
    return _loaded(named[0] if named else library.teaching.set(set_id))


def load_sets(library: Library) -> tuple[TeachingSet, ...]:
    """All sets, by title."""
    return tuple(_loaded(record) for record in library.teaching.sets())


def listed(sets: Sequence[TeachingSet]) -> SetList:
    """A line for each set."""
    return SetList(tuple(SetLine(each.set_id, each.title, each.owner, len(each.cases)) for each in sets))


def change_set(library: Library, changed: TeachingSet) -> TeachingSet:
    """Store a set that was read before and changed since.

    Raises:
        LibraryError: ``set_changed`` where somebody else was quicker; ``study_unknown``.
    """
    require_studies(library, changed.ids)
    return replace(changed, version=library.teaching.change_set(_record(changed)).version)


def add_cases(
    library: Library, known: TeachingSet, study_ids: Sequence[str],
    drawings: Mapping[str, tuple[Drawing, ...]] | None = None,
) -> TeachingSet:  # fmt: skip
    """Add studies at the end, with marks by study; those that it has already are passed over."""
    marks = drawings or {}
    new = tuple(
        TeachingCase(each, drawings=marks.get(each, ())[:MOST_DRAWINGS])
        for each in dict.fromkeys(study_ids)
        if each not in known.ids
    )
    if len(known.cases) + len(new) > MOST_CASES:
        raise _wrong(f"a set has at most {MOST_CASES} studies")
    return change_set(library, replace(known, cases=known.cases + new))


def require_studies(library: Library, study_ids: Collection[str]) -> None:
    """Raise LibraryError ``study_unknown`` unless the library holds all of these."""
    known = library.summaries(study_ids)
    for study_id in study_ids:
        if study_id not in known:
            library.get(study_id)


def _record(made: TeachingSet) -> SetRecord:
    body = made.to_json()
    stored = {key: body[key] for key in ("cases", "question", "choices")}
    return SetRecord(made.set_id, made.owner, made.title, made.version, json.loads(json.dumps(stored)))


def _loaded(record: SetRecord) -> TeachingSet:
    body = {**record.body, "title": record.title, "owner": record.owner}
    return TeachingSet.from_json(body, set_id=record.set_id, version=record.version)


# -- given away


def handout_set(known: TeachingSet) -> TeachingSet:
    """The set with what its teacher wrote cleaned of names, numbers and dates."""
    cases = tuple(
        replace(
            case, question=handout_words(case.question), hint=handout_words(case.hint),
            key_point=handout_words(case.key_point),
            drawings=tuple(replace(each, text=handout_words(each.text)) for each in case.drawings),
        )
        for case in known.cases
    )  # fmt: skip
    return replace(known, title=handout_words(known.title), question=handout_words(known.question), cases=cases)


def export_set(known: TeachingSet) -> str:
    """The set as one JSON file: ids, words and marks of its teacher."""
    body = {key: value for key, value in handout_set(known).to_json().items() if key not in ("set_id", "version")}
    return json.dumps({"format": FORMAT, **body}, ensure_ascii=False, indent=1) + "\n"


def import_set(library: Library, text: str | bytes) -> TeachingSet:
    """Store what ``export_set`` wrote, as a new set.

    Raises:
        InputError: ``bad_request`` for another file. LibraryError: ``study_unknown`` for a study that is not here.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong("it is no JSON") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise _wrong("it is no exported set")
    return add_set(library, body)


# -- what a study shows


def shown_findings(known: StudyRecord | Summary, normal: str | None) -> frozenset[str]:
    """Labels that a study shows: as people coded it, else as its report asserts; normal is none."""
    coded = known.coded if isinstance(known, Summary) else known.labels is not None
    if coded:
        return frozenset(known.labels or ()) - {normal or ""}
    if known.report is None:
        return frozenset()
    said = read_assertions(known.report)
    found = {label_of(each.finding) for each in said if polarity(said, each.finding) in FOUND}
    return frozenset(found) - {normal or ""}


def case_findings(case: TeachingCase, known: StudyRecord | Summary, normal: str | None) -> frozenset[str]:
    """What a case shows: as its teacher says, else as it is coded or reported."""
    return frozenset(case.findings) if case.findings is not None else shown_findings(known, normal)


def choices_of(known: TeachingSet, library: Library, codes: Sequence[str], normal: str | None) -> tuple[str, ...]:
    """What can be ticked, the same for every case of a set, so that it tells nothing of any.

    Args:
        codes: labels of the vocabulary, from which a short list is filled up.
    """
    if known.choices:
        return known.choices
    summaries = library.summaries(known.ids)
    counts = Counter(
        code
        for case in known.cases
        if case.study_id in summaries
        for code in sorted(case_findings(case, summaries[case.study_id], normal))
    )
    chosen = [code for code, _ in counts.most_common(CHOICES)]
    chosen += [code for code in codes if code not in (*chosen, normal)][: max(0, LEAST_CHOICES - len(chosen))]
    return tuple(code for code in (*codes, *sorted(set(chosen) - set(codes))) if code in chosen)


# -- reading


def _case(body: Any) -> TeachingCase:
    if not isinstance(body, dict) or not isinstance(body.get("study_id"), str) or not body["study_id"]:
        raise _wrong("a case names no study")
    study_id = _text(body, "study_id", 256)
    return TeachingCase(
        study_id=study_id, question=_text(body, "question", LONGEST), hint=_text(body, "hint", LONGEST),
        key_point=_text(body, "key_point", LONGEST),
        findings=None if body.get("findings") is None else _codes(body, "findings"),
        drawings=read_drawings(_listed(body, "drawings", MOST_DRAWINGS)), partner=_text(body, "partner", 256),
    )  # fmt: skip


def read_drawings(bodies: Sequence[Any]) -> tuple[Drawing, ...]:
    """Marks from JSON.

    Raises:
        InputError: ``bad_request`` for one of another shape, or outside the film.
    """
    if len(bodies) > MOST_DRAWINGS:
        raise _wrong(f"at most {MOST_DRAWINGS} marks")
    return tuple(_drawing(each) for each in bodies)


def _drawing(body: Any) -> Drawing:
    if not isinstance(body, dict) or body.get("shape") not in get_args(Shape):
        raise _wrong("a mark is a box, a point or an arrow")
    shape, film, points = body["shape"], body.get("film", 0), body.get("points")
    if not isinstance(film, int) or isinstance(film, bool) or not 0 <= film <= 1000:
        raise _wrong("a mark names no film")
    if not isinstance(points, list | tuple) or len(points) != POINTS[shape]:
        raise _wrong(f"a {shape} has {POINTS[shape]} point{'s' * (POINTS[shape] > 1)}")
    return Drawing(shape, film, tuple(_point(each) for each in points), _text(body, "text", 100))


def _point(body: Any) -> tuple[float, float]:
    if not isinstance(body, list | tuple) or len(body) != 2:
        raise _wrong("a point is x and y")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 for value in body):
        raise _wrong("a point lies outside the film: x and y are shares of its width and height, 0 to 1")
    return round(float(body[0]), 5), round(float(body[1]), 5)


def _text(body: Mapping[str, Any], key: str, most: int) -> str:
    value = body.get(key) or ""
    if not isinstance(value, str) or len(value) > most:
        raise _wrong(f"{key} is no text of at most {most} characters")
    return value


def _listed(body: Mapping[str, Any], key: str, most: int) -> Sequence[Any]:
    value = body.get(key) or ()
    if not isinstance(value, list | tuple) or len(value) > most:
        raise _wrong(f"{key} is no list of at most {most}")
    return value


def _codes(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _listed(body, key, MOST_CHOICES)
    if not all(isinstance(value, str) and 0 < len(value) <= 64 for value in values):
        raise _wrong(f"{key} are codes of findings")
    return tuple(dict.fromkeys(values))


def _wrong(why: str) -> InputError:
    return InputError("bad_request", f"Not a teaching set: {why}.", "lingula teach export writes one as an example.")
