"""Which modes can read a study."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests import made_up

from lingula.errors import InputError
from lingula.model.batch import study_mode
from lingula.study import Report, Study

FILM = Study("image", (made_up.film(1),))
TEXT = Study("text", (), Report.from_sections(impression="Worn spine."))
BOTH = replace(FILM, report=TEXT.report)


def test_the_mode_of_a_study() -> None:
    assert [study_mode(study) for study in (FILM, TEXT, BOTH)] == ["image", "text", "joint"]
    assert study_mode(BOTH, "text") == "text"
    assert study_mode(replace(FILM, report=Report.from_sections(findings=" "))) == "image"
    for study, mode in ((FILM, "text"), (FILM, "joint"), (TEXT, "image"), (Study("nothing"), None)):
        with pytest.raises(InputError) as refused:
            study_mode(study, mode)
        assert refused.value.code == "bad_request"


def test_an_indication_alone_does_not_speak_for_a_film() -> None:
    film, asked = made_up.film(0), Report.from_sections(indication="Cough.")
    assert study_mode(Study("S", (film,), asked)) == "image"
    assert study_mode(Study("S", (film,), asked), "joint") == "joint"
    assert study_mode(Study("S", (), asked)) == "text"
    assert study_mode(Study("S", (film,), Report.from_sections(impression="Clear."))) == "joint"
