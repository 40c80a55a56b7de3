"""A study whose report cannot be read is refused by itself, or stored by its films; it never stops an import."""

from __future__ import annotations

from pathlib import Path

from tests import made_up

from lingula.ingest.batches import encoded_entries, legible_entries
from lingula.library import Entry
from lingula.openi.collection import Refused
from lingula.study import Report, Study


def test_an_unread_report_stops_nothing(tmp_path: Path) -> None:
    checkpoint = made_up.checkpoint(tmp_path / "checkpoint")
    unknown = Report.from_sections(findings="\ue000 \ue001")
    sound = made_up.study(1)
    refused: list[Refused] = []
    given = [Study("words", (), unknown), Study("film", sound.radiographs, unknown), sound]
    known = legible_entries(checkpoint, (Entry(study, {}) for study in given), refused)
    entries = list(encoded_entries(checkpoint, known))
    assert [entry.study.study_id for entry in entries] == ["film", sound.study_id]
    assert list(entries[0].embeddings) == ["image"]
    assert [notice.code for notice in entries[0].study.notices] == ["report_empty"]
    assert [(str(each.path), each.code) for each in refused] == [("words", "report_empty")]
