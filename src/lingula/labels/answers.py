"""Forms: answers that stand behind a finding ("Effusion: No"), ticked boxes, plus and minus signs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lingula.labels.assertion_rules import Polarity, Rules
from lingula.labels.clause import Mention
from lingula.labels.sentences import Span


@dataclass(frozen=True, slots=True)
class Form:
    """What the form of a sentence says of its mentions, by their place in the list.

    Attributes:
        answers: polarity by mention; ``None`` for one that asserts nothing (an empty box, a heading).
        rooms: the words of the answer.
        ends: where an answer ends and no scope reaches beyond.
        bare: answers that stand alone ("No"), which change nothing else.
    """

    answers: Mapping[int, Polarity | None] = field(default_factory=dict)
    rooms: Mapping[int, Span] = field(default_factory=dict)
    ends: tuple[Span, ...] = ()
    bare: tuple[Span, ...] = ()


_BOX = re.compile(
    r"""(?P<empty>\[[ _]*\] | \([ ]*\) | [\u2610\u25a1\u2b1c\u25ef])
    | (?P<ticked>\[[ ]*(?:[xXyY*\u2713\u2714]|[yY]es)[ ]*\] | \([ ]*[xX][ ]*\)
        | [\u2611\u2612\u2713\u2714\u2705\u25a0\u25c9])
    | (?P<both>\([ ]*\+[ ]?/?[ ]?-[ ]*\) | (?<=\s)\+/-(?=\s*(?:$|[,;.)\n])) | (?<=\s)\u00b1(?=\s*(?:$|[,;.)\n])))
    | (?P<crossed>\[[ ]*[nN]o?[ ]*\] | \([ ]*-[ ]*\) | [\u2717\u2718\u274c]
        | (?<![\w-])-[ ]?ve(?!\w)(?![ ]for) | (?<=\w[ ])-(?=\s*(?:$|[,;.)\n])))
    | (?P<plus>\([ ]*\+[ ]*\) | (?<![\w+])\+[ ]?ve(?!\w) | (?<=\s)\+{1,3}(?=\s*(?:$|[,;.)\n])))""",
    re.VERBOSE,
)
_SAYS: dict[str, Polarity | None] = {
    "empty": None, "ticked": "present", "both": "uncertain", "crossed": "absent", "plus": "present",
}  # fmt: skip
_LABEL_END = re.compile(
    r"""(?:\s*\([^()]*\))?
    (?:\s+(?:present|seen|identified|evident|noted|visible|status|detected))?\s*
    (?:(?P<sign>[:=|\t][\s:=|]*(?:-*>?\s*(?=\w))? | [ ]{3,} | \?\s*[:=]?\s* | \.{3,}\s* | _{2,}\s*)
    | (?P<dash>-(?=\s)\s* | [,;](?=(?:no|yes|none|nil|absent|present)\s*(?:$|\n)) | \((?=[\w+-]+(?:[ ]\w+)?\)))
    | (?=\s(?:no|yes)\s*(?:$|[.,;|\t\n)])))\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_WORD_ENDS = re.compile(r"(?: (?:seen|identified|present|noted|evident|visible))?\s*(?:$|[.,;|\t\n)])", re.IGNORECASE)
_CHAIN = re.compile(r"\s*(?:[/,&]|and/or|and|or)\s*(?:[\w-]+\s)?", re.IGNORECASE)


def form(rules: Rules, text: str, span: Span, named: Sequence[Mention]) -> Form:
    """The form of a sentence; an empty one for prose."""
    if boxes := list(_BOX.finditer(text, *span)):
        return _ticked(rules, text, span, named, boxes)
    labels = [(at, end) for at, mention in enumerate(named) if (end := _label_end(rules, text, span, mention))]
    if not labels:
        return Form()
    answers: dict[int, Polarity | None] = {}
    rooms: dict[int, Span] = {}
    ends, bare = [], []
    for number, (at, start) in enumerate(labels):
        following = labels[number + 1][0] if number + 1 < len(labels) else len(named)
        first = _first_of_chain(text, named, following) if following < len(named) else following
        stop = named[first].span.start if following < len(named) else span.end
        room, others = _sided(rules, text, Span(start, stop))
        bare += others
        if others:
            ends += [Span(start, start), Span(room.end, room.end)]
        group = range(_first_of_chain(text, named, at), at + 1)
        word = rules.answers.match(text, *room)
        said = word.lastgroup if word else None
        if word and _WORD_ENDS.match(text, word.end(), span.end):
            bare.append(Span(*word.span()))
        inside = {finding for mention in named[at + 1 : first] for finding in mention.findings}
        for each in group:
            rooms[each] = room
            if said in _POLARITIES:
                answers[each] = said  # type: ignore[assignment]
            if (
                said == "void"
                or (said is None and not text[start:stop].strip(" .-"))
                or not inside.isdisjoint(named[each].findings)
            ):
                answers[each] = None
        ends.append(Span(stop, stop))
    return Form(answers, rooms, tuple(ends), tuple(bare))


def _label_end(rules: Rules, text: str, span: Span, mention: Mention) -> int | None:
    """Where the answer to a mention begins; None where the mention is no label of a form."""
    if mention.says is not None:
        return None
    found = _LABEL_END.match(text, mention.span.end, span.end)
    if not found or found.end() == mention.span.end:
        return None
    if found["sign"] and found["sign"][0] in ":=":
        return found.end()
    if found.end() == span.end:
        return None
    if found["sign"] and found["sign"][0] in "|\t":
        return found.end()
    answer = rules.answers.match(text, found.end(), span.end)
    return found.end() if answer and _WORD_ENDS.match(text, answer.end(), span.end) else None


def _sided(rules: Rules, text: str, room: Span) -> tuple[Span, list[Span]]:
    """Of an answer for each side ("L small, R nil") the first part that is no denial, and the words of the others; the
    whole answer where it is none."""
    parts = [Span(*match.span()) for match in _PART.finditer(text, *room)]
    sides = [rules.sides.match(text, *part) for part in parts]
    if len(parts) < 2 or not all(sides):
        return room, []
    denied = [
        side is not None and _answer(rules, text, Span(side.end(), part.end)) == "absent"
        for part, side in zip(parts, sides, strict=True)
    ]
    if all(denied) or not any(denied):
        return room, []
    kept = parts[denied.index(False)]
    return kept, [part for part in parts if part is not kept]


_PART = re.compile(r"[^\s,;/][^,;/]*")


def _first_of_chain(text: str, named: Sequence[Mention], at: int) -> int:
    """The first of mentions that share a label: "Effusion or pneumothorax: No"."""
    while at and (
        named[at - 1].span.end >= named[at].span.start
        or _CHAIN.fullmatch(text, named[at - 1].span.end, named[at].span.start)
    ):
        at -= 1
    return at


def _ticked(rules: Rules, text: str, span: Span, named: Sequence[Mention], boxes: Sequence[re.Match[str]]) -> Form:
    """Boxes ahead of what they tick, behind it, or beside its answers ("Effusion: [ ] Yes [x] No")."""
    answers: dict[int, Polarity | None] = {}
    label = [at for at, mention in enumerate(named) if mention.span.end <= boxes[0].start()]
    behind = bool(label)
    leading = behind and _answer(rules, text, Span(named[label[-1]].span.end, boxes[0].start())) is not None
    for number, box in enumerate(boxes):
        room = Span(box.end(), boxes[number + 1].start() if number + 1 < len(boxes) else span.end)
        here = [at for at, m in enumerate(named) if room.start <= m.span.start and m.span.end <= room.end]
        said = _SAYS[str(box.lastgroup)]
        if leading:
            first = named[label[-1]].span.end if number == 0 else boxes[number - 1].end()
            before = [m.span.end for m in named if first <= m.span.start and m.span.end <= box.start()]
            word = _answer(rules, text, Span(max(before, default=first), box.start()))
        else:
            word = _answer(rules, text, room)
        if word and label and box.lastgroup in ("ticked", "empty"):
            for at in label:
                answers.setdefault(at, None)
                if box.lastgroup == "ticked":
                    answers[at] = word
            label = here or label
        elif behind:
            answers |= dict.fromkeys(label, said)
            label = here
        elif said != "present" or box.lastgroup == "plus":
            answers |= dict.fromkeys(here, said)
    return Form(answers, {}, tuple(Span(box.start(), box.start()) for box in boxes))


def _answer(rules: Rules, text: str, room: Span) -> Polarity | None:
    """The polarity of the answer that words begin with; None where they are none."""
    start = room.start + len(text[room.start : room.end]) - len(text[room.start : room.end].lstrip(" \t\n:=|"))
    word = rules.answers.match(text, start, room.end)
    return word.lastgroup if word and word.lastgroup in _POLARITIES else None  # type: ignore[return-value]


_POLARITIES = ("absent", "present", "uncertain", "likely")
