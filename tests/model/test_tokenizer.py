"""Every token keeps its place in the report that was given."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import made_up

from lingula.model.tokenizer import MOST_WINDOWS, ReportTokenizer
from lingula.study import Report

SECTIONS = ("findings", "impression", "indication")
REPORT = Report.from_sections(
    comparison="Not to be read.",
    indication="Cough, and Fever!",
    findings="The HEART is wide.\nSpurs along the   thoracic spine (T8-T9).",
    impression="Worn spine.",
)


def _words(tokens_of: ReportTokenizer, report: Report) -> list[str]:
    """The report's characters under each word token, with a bar where a special token stands."""
    tokens = tokens_of(report)
    return [report.text[start:end] if end > start else "|" for start, end in tokens.spans]


def test_spans_are_the_words_in_the_models_order_of_sections() -> None:
    words = _words(made_up.tokenizer(), REPORT)
    parts = "".join(words).split("|")
    assert parts == [
        "",
        "TheHEARTiswide.Spursalongthethoracicspine(T8-T9).",
        "Wornspine.",
        "Cough,andFever!",
        "",
    ]


def test_token_ids_are_the_words_at_their_spans() -> None:
    """Spelled from its pieces, each word is the lower-cased text under its spans; what is unknown is marked."""
    tokenizer = made_up.tokenizer()
    tokens = tokenizer(REPORT)
    spell = tokenizer._tokenizer.id_to_token
    for token, (start, end), is_word in zip(tokens.ids, tokens.spans, tokens.is_word, strict=True):
        piece = spell(token)
        assert is_word == (piece not in ("[CLS]", "[SEP]", "[PAD]"))
        if is_word and piece != "[UNK]":
            assert piece.removeprefix("##") == REPORT.text[start:end].lower()
    assert spell(tokens.ids[0]) == "[CLS]"
    assert spell(tokens.ids[-1]) == "[SEP]"


def test_long_report_keeps_its_impression_and_what_is_present() -> None:
    """Of a report longer than a window, denials and what names nothing are left out, and nothing of the impression."""
    whole = made_up.tokenizer()
    filler = "The trachea is midline. No pleural effusion. "
    report = Report.from_sections(findings=filler * 9 + "Cardiomegaly.", impression="Discussed by telephone. No edema.")
    words = "".join(_words(ReportTokenizer(whole._tokenizer, SECTIONS, 32), report))
    assert words == "|Cardiomegaly.|Discussedbytelephone.Noedema.|"
    assert "midline" in "".join(_words(ReportTokenizer(whole._tokenizer, SECTIONS, 1000), report))


def test_long_normal_report_is_filled_to_one_window() -> None:
    short = ReportTokenizer(made_up.tokenizer()._tokenizer, SECTIONS, 32)
    tokens = short(Report.from_sections(findings="No pleural effusion. " * 20, impression="No acute disease."))
    assert 20 < len(tokens.ids) <= 32
    assert not tokens.cut


def test_what_is_present_is_read_in_as_many_windows_as_it_needs() -> None:
    short = ReportTokenizer(made_up.tokenizer()._tokenizer, SECTIONS, 32)
    report = Report.from_sections(findings="Cardiomegaly. " * 20)
    assert len(short(report).ids) > 32
    assert not short(report).cut
    many = short(Report.from_sections(findings="Cardiomegaly. " * 200))
    assert (len(many.ids), many.cut) == (32 * MOST_WINDOWS, True)


def test_report_of_one_window_is_read_whole() -> None:
    full = made_up.tokenizer()(REPORT)
    assert ReportTokenizer(made_up.tokenizer()._tokenizer, SECTIONS, len(full.ids))(REPORT) == full


@pytest.mark.parametrize("odd", ["心 β-blocker ½", "naïve ﬁlm", "a\u0301 \u200b zero", "😀 wide", "[SEP] wide"])
def test_unknown_characters_do_not_shift_spans(odd: str) -> None:
    report = Report.from_sections(findings=f"{odd} spine.", impression="Worn spine.")
    words = _words(made_up.tokenizer(), report)
    assert "".join(words).endswith("spine.|Wornspine.|")
    assert all(0 <= start <= end <= len(report.text) for start, end in made_up.tokenizer()(report).spans)


def test_saved_tokenizer_reads_the_same(tmp_path: Path) -> None:
    made_up.tokenizer().save(tmp_path / "tokenizer.json")
    loaded = ReportTokenizer.load(tmp_path / "tokenizer.json", sections=SECTIONS, length=64)
    assert loaded(REPORT) == made_up.tokenizer()(REPORT)
    assert loaded.pad == 0


def test_same_texts_give_the_same_vocabulary(tmp_path: Path) -> None:
    """Training that is resumed, or shared among processes, learns the vocabulary again and must find the same."""
    made = set()
    for attempt in range(3):
        made_up.tokenizer.__wrapped__().save(tmp_path / f"{attempt}.json")
        made.add((tmp_path / f"{attempt}.json").read_bytes())
    assert len(made) == 1


def test_markers_say_how_a_report_means_its_findings() -> None:
    """After the words that name a finding, with their span; counted in the size asked for; text cannot spell them."""
    texts = ["There is no pleural effusion. The heart is enlarged. Fracture of a rib."] * 4
    marked = ReportTokenizer.train(texts, sections=("findings",), length=64, vocabulary=300, markers=True)
    assert marked.vocabulary_size <= 300
    report = Report.from_sections(findings="There is no pleural effusion [fracture present]. The heart is enlarged.")
    name = {number: word for word, number in marked._tokenizer.get_vocab().items()}
    tokens = marked(report)
    read = [(name[i], start, end) for i, (start, end) in zip(tokens.ids, tokens.spans, strict=True)]
    said = {word: report.text[start:end] for word, start, end in read if " " in word}
    assert said["[pleural_effusion absent]"] == "pleural effusion"
    assert "enlarged" in said["[cardiomegaly present]"]
    ends = [end for _, _, end in read if end]
    assert ends == sorted(ends)  # each right behind its words
