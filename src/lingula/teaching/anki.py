"""A set, or what was hard alone, as a package for Anki (extra ``anki``): films in front, what they show behind.

Films carry names made by chance, so that nothing of an answer stands in the package's list of files.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lingula.deidentification.handout import handout_record, handout_summary
from lingula.errors import InputError
from lingula.library import Library, StudyRecord
from lingula.optional import optional
from lingula.study import DISCLAIMER
from lingula.teaching.credit import credit_of
from lingula.teaching.sets import QUESTION, TeachingCase, TeachingSet, case_findings, handout_set
from lingula.teaching.slides import marked_png
from lingula.teaching.tasks import Findings, film_rows, history

MODEL_ID = 1_706_201_117
"""Names the kind of note to Anki; another kind gets another number."""
_CSS = ".card{font-family:sans-serif;font-size:18px;text-align:center}img{max-width:48%;max-height:80vh}"


@dataclass(frozen=True, slots=True)
class AnkiCard:
    """A card: PNG films before and after the answer, and HTML beside them. ``guid`` keeps it one card when it is
    imported again."""

    guid: str
    films: tuple[bytes, ...]
    front: str
    back_films: tuple[bytes, ...]
    back: str


def write_apkg(path: Path, title: str, cards: Iterable[AnkiCard]) -> int:
    """Write a package; how many cards it holds.

    Raises:
        InputError: ``bad_request`` without the extra ``anki``, or without a card.
    """
    genanki = optional("genanki", "anki", "A file for Anki")
    model = genanki.Model(
        MODEL_ID, "lingula film", css=_CSS, fields=[{"name": "Front"}, {"name": "Back"}],
        templates=[{"name": "Film", "qfmt": "{{Front}}", "afmt": "{{FrontSide}}<hr id=answer>{{Back}}"}],
    )  # fmt: skip
    deck = genanki.Deck(int(hashlib.sha256(title.encode()).hexdigest()[:8], 16), f"lingula: {title}")
    with tempfile.TemporaryDirectory() as folder:
        media: list[str] = []

        def pictures(films: Sequence[bytes]) -> str:
            names = []
            for png in films:
                file = Path(folder) / f"film-{secrets.token_hex(8)}.png"
                file.write_bytes(png)
                media.append(str(file))
                names.append(f'<img src="{file.name}">')
            return " ".join(names)

        for card in cards:
            fields = [f"{card.front}<br>{pictures(card.films)}", f"{pictures(card.back_films)}<br>{card.back}"]
            deck.add_note(genanki.Note(model=model, fields=fields, guid=card.guid))
        if not deck.notes:
            raise InputError("bad_request", "There is nothing to make cards of.", "Answer or add some studies first.")
        genanki.Package(deck, media_files=media).write_to_file(str(path))
    return len(deck.notes)


def set_cards(library: Library, known: TeachingSet, findings: Findings) -> Iterable[AnkiCard]:
    """A card for each study of a set that has a film."""
    known = handout_set(known)
    summaries = library.summaries(known.ids)
    for case in known.cases:
        if case.study_id in summaries and summaries[case.study_id].images:
            record = handout_record(library.get(case.study_id))
            told = history(handout_summary(summaries[case.study_id]))
            yield study_card(record, case, findings, question=case.question or known.question, told=told)


def hard_cards(library: Library, study_ids: Sequence[str], findings: Findings) -> Iterable[AnkiCard]:
    """A card for each of these studies that is still there, in this order."""
    stored = library.summaries(study_ids)
    for study_id in study_ids:
        if study_id in stored:
            case, told = TeachingCase(study_id), history(handout_summary(stored[study_id]))
            record = handout_record(library.get(study_id))
            yield study_card(record, case, findings, question=QUESTION, told=told)


def study_card(record: StudyRecord, case: TeachingCase, findings: Findings, *, question: str, told: str) -> AnkiCard:
    """Films, question and history in front; findings, key point, report and credit behind, with the teacher's marks."""
    rows = film_rows([film.view for film in record.radiographs])
    marked = tuple(marked_png(record.radiographs[row], [d for d in case.drawings if d.film == row])
                   for row in rows if any(d.film == row for d in case.drawings))  # fmt: skip
    shows = findings.named(case_findings(case, record, findings.normal)) or ("Normal",)
    back = [f"<b>{escape(', '.join(shows))}</b>", escape(case.key_point)]
    back += [escape(record.report.text).replace("\n", "<br>")] if record.report else []
    back += [f"<small>{escape(credit_of(record.study_id))}. {escape(DISCLAIMER)}</small>"]
    front = "<br>".join(escape(part) for part in (told, question) if part)
    return AnkiCard(
        guid=hashlib.sha256(f"lingula {record.digest} {case.question}".encode()).hexdigest()[:16],
        films=tuple(record.radiographs[row].png for row in rows), front=front, back_films=marked,
        back="<br><br>".join(filter(None, back)),
    )  # fmt: skip
