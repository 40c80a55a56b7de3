"""Polarity, side, history and position of what a report asserts. All sentences are written for the test."""

from __future__ import annotations

import gc
import json
import time
from importlib import resources

import pytest

from lingula.labels import Vocabulary
from lingula.labels.assertions import Assertion, denies, polarity, read_assertions
from lingula.labels.findings import narrowest, search_findings
from lingula.labels.languages import foreign_words, other_language
from lingula.study import Report


def read(text: str) -> tuple[Assertion, ...]:
    return read_assertions(Report.from_sections(findings=text))


P, L, U, A = "present", "likely", "uncertain", "absent"


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        # negation after the finding
        ("Pneumothorax is not seen.", {"pneumothorax": A}),
        ("Effusion and pneumothorax are not identified.", {"effusion": A, "pneumothorax": A}),
        ("The effusion has resolved.", {"effusion": A, "pleural_effusion": A}),
        ("Resolved interstitial edema.", {"edema": A, "pulmonary_edema": A}),
        ("Pneumonia is unlikely.", {"pneumonia": A}),
        # negation before it
        ("No pneumothorax or pleural effusion.", {"pneumothorax": A, "effusion": A}),
        ("No evidence of focal consolidation, effusion, or pneumothorax.", {"consolidation": A, "effusion": A}),
        ("No evidence of focal consolidation, effusion, or pneumothorax.", {"pneumothorax": A}),
        ("Without effusion.", {"effusion": A}),
        ("The lungs are clear of focal airspace disease.", {"airspace_disease": A}),
        ("There is no airspace opacity to suggest pneumonia.", {"airspace_disease": A, "pneumonia": A}),
        ("Degenerative changes without fracture.", {"degenerative_spine": P, "fracture": A}),
        ("Negative for pneumothorax, consolidation and mass.", {"pneumothorax": A, "consolidation": A, "mass": A}),
        # where a negation ends
        ("No pneumothorax, small right effusion.", {"pneumothorax": A, "effusion": P}),
        ("No consolidation but there is atelectasis.", {"consolidation": A, "atelectasis": P}),
        ("No effusion; nodule in the lingula.", {"effusion": A, "nodule": P}),
        ("Scarring is present. Pneumothorax is not seen.", {"scar": P, "pneumothorax": A}),
        ("Atelectasis is stable and no effusion is noted.", {"atelectasis": P, "effusion": A}),
        # what only looks like one
        ("No change in the right effusion.", {"effusion": P}),
        ("The mass has not increased.", {"mass": P}),
        ("Cardiomegaly without significant change.", {"cardiomegaly": P}),
        ("Nodule, not calcified.", {"nodule": P}),
        # likely: hedged, but leaning to it
        ("Probable small effusion.", {"effusion": L}),
        ("Scarring or atelectasis at the left base.", {"scar": L, "atelectasis": L}),
        ("Opacities most suggestive of edema.", {"edema": L}),
        ("The heart is borderline enlarged.", {"cardiomegaly": L}),
        ("Borderline heart size.", {"cardiomegaly": L}),
        # uncertain: leaning nowhere
        ("May represent atelectasis versus infiltrate.", {"atelectasis": U, "infiltrate": U}),
        ("Hyperinflation suggesting emphysema.", {"emphysema": U, "hyperinflation": P}),
        ("No opacity to suggest pneumonia.", {"pneumonia": A}),
        ("No findings suggestive of edema.", {"edema": A}),
        ("Heart size at the upper limits of normal.", {"cardiomegaly": U}),
        ("Pneumonia is a possibility.", {"pneumonia": U}),
        ("Cannot exclude pneumonia.", {"pneumonia": U}),
        ("A small effusion cannot be excluded.", {"effusion": U}),
        ("Atelectasis versus infiltrate at the base.", {"atelectasis": L, "infiltrate": L}),
        ("Opacity may represent atelectasis, no effusion.", {"lung_opacity": P, "atelectasis": U, "effusion": A}),
        ("Possible fracture.", {"fracture": U}),
        ("No effusion, possible nodule.", {"effusion": A, "nodule": U}),  # the nearest modifier decides
        ("No new consolidation.", {"consolidation": U}),
        # whole statements
        ("Heart size is normal.", {"cardiomegaly": A}),
        ("The heart is not enlarged.", {"cardiomegaly": A}),
        ("The heart is mildly enlarged.", {"cardiomegaly": P}),
        ("Enlarged heart.", {"cardiomegaly": P}),
        ("No enlarged heart.", {"cardiomegaly": A}),
        ("No effusion and the heart is enlarged.", {"effusion": A, "cardiomegaly": P}),
        ("The lungs are clear.", {"airspace_disease": A, "consolidation": A, "lung_opacity": A}),
        ("Lungs are clear except for a nodule.", {"airspace_disease": None, "nodule": P}),
        ("Bony structures are intact.", {"fracture": A}),
        # words that name something else
        ("Small pericardial effusion.", {"effusion": None}),
        ("Subcutaneous emphysema of the neck.", {"emphysema": None}),
        ("Degenerative changes of the right shoulder.", {"degenerative_spine": None}),
        ("Calcified granuloma, calcified nodule.", {"granuloma": P, "nodule": P, "nodule_mass": None}),
        ("Non-calcified nodule.", {"granuloma": None, "nodule": P}),
        ("No acute disease.", {"pneumonia": None, "normal": None}),
        ("Normal chest radiograph.", {"normal": P}),
        ("Nodular opacity in the right lung.", {"nodule": None, "nodule_mass": P}),
        ("Anterior wedging of T8.", {"fracture": P, "bone_fracture": None}),
        ("Fracture of the lateral fixation screw.", {"fracture": None}),
        ("Films could obscure a small nodule.", {"nodule": None}),
        ("The lungs do not demonstrate infiltrate or effusion.", {"infiltrate": A, "effusion": A}),
        ("The pneumothorax has nearly resolved.", {"pneumothorax": P}),
        ("Large pleural air collection.", {"pneumothorax": P}),
        ("Collapse of the left lower lobe.", {"atelectasis": P}),
        # labels
        ("Hyperexpanded lungs with flattened diaphragms.", {"hyperinflation": P}),
        ("Low lung volumes.", {"hypoinflation": P}),
        ("Tortuous thoracic aorta.", {"aortic_disease": P}),
        ("Mild dextroscoliosis.", {"spinal_curvature": P}),
        ("Curvature of the lower thoracic spine.", {"spinal_curvature": P}),
        ("Normal curvature of the spine.", {"spinal_curvature": A}),
        ("Thoracic kyphosis is preserved.", {"spinal_curvature": A}),
        ("Degenerative changes of the shoulders and thoracic spine.", {"degenerative_spine": P}),
        ("Arthritic changes of the spine.", {"degenerative_spine": P}),
        ("Over-expanded lungs.", {"hyperinflation": P}),
        ("Large lung volumes.", {"hyperinflation": P}),
        ("Lower lung volumes today.", {"hypoinflation": P}),
        ("Reticulonodular interstitial opacities.", {"interstitial_markings": P}),
        ("Apical fibronodular pleural thickening.", {"pleural_thickening": P, "nodule": P}),
        ("Closure device and embolization coils.", {"device": P}),
        ("An IVC filter and two bullets.", {"device": P}),
        ("Blunting of the left costophrenic angle.", {"pleural_thickening": P, "effusion": None}),
        ("Elevation of the right hemidiaphragm.", {"elevated_diaphragm": P}),
        ("Large hiatal hernia and a pacemaker.", {"hernia": P, "device": P}),
        ("Left hydropneumothorax.", {"pneumothorax": P, "effusion": P}),
        ("Prominent interstitial markings.", {"interstitial_markings": P}),
    ],
)  # fmt: skip
def test_polarity(sentence: str, expected: dict[str, str | None]) -> None:
    said = read(sentence)
    assert {finding: polarity(said, finding) for finding in expected} == expected


@pytest.mark.parametrize(
    ("sentence", "finding", "side"),
    [
        ("Small right pleural effusion and left lower lobe atelectasis.", "effusion", "right"),
        ("Small right pleural effusion and left lower lobe atelectasis.", "atelectasis", "left"),
        ("Atelectasis in the left base, right effusion.", "atelectasis", "left"),
        ("Atelectasis in the left base, right effusion.", "effusion", "right"),
        ("Bibasilar atelectasis.", "atelectasis", "bilateral"),
        ("Right and left pleural effusions.", "effusion", "bilateral"),
        ("Nodule of the lingula.", "nodule", "left"),
        ("No pneumothorax, right clavicle fracture.", "pneumothorax", None),
        ("Mild cardiomegaly.", "cardiomegaly", None),
        ("Left lower lobe airspace disease consistent with pneumonia.", "pneumonia", "left"),
        ("Opacity in the lingula, which may represent atelectasis or pneumonia.", "pneumonia", "left"),
        ("Consolidation in the right lower lobe and a small effusion on the left.", "effusion", "left"),
        ("Effusion (left) and pneumothorax (right).", "pneumothorax", "right"),
        ("Nodule, right upper lobe.", "nodule", "right"),
        ("Effusion: yes, small left", "effusion", "left"),
        ("LLL nodule, R pl. effusion.", "nodule", "left"),
        ("LLL nodule, R pl. effusion.", "effusion", "right"),
    ],
)
def test_laterality(sentence: str, finding: str, side: str | None) -> None:
    assert [each.side for each in read(sentence) if each.finding == finding] == [side]


@pytest.mark.parametrize(
    ("sentence", "finding", "place"),
    [
        ("Nodule in the right upper lobe.", "nodule", "upper"),
        ("Left lower lobe atelectasis, scarring at the apices.", "atelectasis", "lower"),
        ("Left lower lobe atelectasis, scarring at the apices.", "scar", "apex"),
        ("Bibasilar atelectasis.", "atelectasis", "base"),
        ("Effusion blunting nothing.", "effusion", None),
        ("Old fracture of the left clavicle.", "fracture", "clavicle"),
        ("Compression fracture of T7.", "fracture", "spine"),
        ("Retrocardiac consolidation.", "consolidation", "retrocardiac"),
        ("Left lower lobe opacity, suspicious for pneumonia.", "pneumonia", "lower"),
        ("RUL nodule.", "nodule", "upper"),
        ("Small effusion and right basilar atelectasis.", "effusion", None),
    ],
)
def test_place(sentence: str, finding: str, place: str | None) -> None:
    assert [each.place for each in read(sentence) if each.finding == finding] == [place]


@pytest.mark.parametrize(
    "sentence",
    [
        "Degenerative changes of the left knee.",
        "Osteophytes are present at the acromioclavicular joints.",
        "Arthritic changes of the skeletal structures.",
        "Status post median sternotomy.",
        "Increased lung volumes compared to the prior study.",
    ],
)
def test_what_is_no_finding_of_the_chest_is_not_read_as_one(sentence: str) -> None:
    assert not read(sentence)


def test_past() -> None:
    (pneumonia,) = (each for each in read("History of pneumonia, old rib fracture.") if each.finding == "pneumonia")
    assert (pneumonia.polarity, pneumonia.past) == (P, True)
    assert polarity(read("History of pneumonia."), "pneumonia") == A  # not now
    (resolved,) = (each for each in read("The effusion has resolved.") if each.finding == "effusion")
    assert (resolved.polarity, resolved.past) == (A, True)
    (stable,) = (each for each in read("Nodule unchanged from prior study.") if each.finding == "nodule")
    assert (stable.polarity, stable.past) == (P, False)


def test_one_present_mention_outweighs_the_rest() -> None:
    said = read("No large effusion. Small left effusion. Possible nodule. No nodule.")
    assert polarity(said, "effusion") == P
    assert polarity(said, "nodule") == U  # "possible" outweighs "no"
    assert polarity(said, "mass") is None


def test_indication_asks_and_does_not_find() -> None:
    said = read_assertions(
        Report.from_sections(indication="Pneumonia.", findings="No consolidation.", impression="Mass.")
    )
    assert {(each.finding, each.polarity, each.section) for each in said} >= {
        ("pneumonia", U, "indication"),
        ("consolidation", A, "findings"),
        ("mass", P, "impression"),
    }


def test_a_word_is_denied_where_every_sentence_denies_it() -> None:
    def report(text: str) -> Report:
        return Report.from_sections(indication="Smoker.", findings=text)

    assert denies(report("No bronchiectasis. Without bronchiectatic change."), "bronchiectasis")
    assert not denies(report("No bronchiectasis at the left. Bronchiectasis in the lingula."), "bronchiectasis")
    assert not denies(report("Clear."), "smoker")  # an indication asks


def test_other_languages_are_recognised() -> None:
    german = other_language("Kein Pneumothorax. Herz nicht vergrößert.")
    assert german
    assert german.name == "German"
    assert "kein" in german.words
    assert other_language("No pneumothorax. Left OG tube, BAL performed, non-calcified nodule.") is None
    mixed = foreign_words("No effusion. Kein Pneumothorax.")
    assert mixed
    assert mixed.words == ("kein",)
    russian = other_language("\u041f\u043d\u0435\u0432\u043c\u043e\u0442\u043e\u0440\u0430\u043a\u0441")
    assert russian
    assert russian.name == "Russian"
    assert read("Kein Pneumothorax. Herz nicht vergrößert.") == ()


def test_spans_and_order() -> None:
    report = Report.from_sections(findings="A  pleural\neffusion.  No\nfracture.", impression="Stable cardiomegaly.")
    said = read_assertions(report)
    words = {each.finding: report.text[each.start : each.end] for each in said}
    assert words == {
        "pleural_effusion": "pleural\neffusion",
        "effusion": "pleural\neffusion",
        "fracture": "fracture",
        "bone_fracture": "fracture",
        "cardiomegaly": "cardiomegaly",
    }
    assert list(said) == sorted(said, key=lambda each: (each.start, each.end, each.finding))
    assert read_assertions(report.only("impression")) == said[-1:]
    assert read_assertions(Report("", ())) == ()


def test_every_label_and_search_finding_can_be_asserted_and_nothing_else() -> None:
    data = json.loads(resources.files("lingula.labels").joinpath("assertions.json").read_text("utf-8"))
    named = {finding for row in data["statements"] + data["mentions"] for finding in row["as"]}
    assert named == {*Vocabulary.load("openi22").codes, *search_findings()}


def test_a_finding_belongs_to_a_label_and_stands_for_it() -> None:
    labels = {finding.label for finding in search_findings().values()}
    assert labels <= {*Vocabulary.load("openi22").codes, None}
    assert narrowest(["pleural_effusion", "effusion", "scar"]) == ("effusion", "scar")
    assert narrowest(["atelectasis", "nodule", "mass", "nodule_mass"]) == ("atelectasis", "nodule", "mass")


@pytest.mark.parametrize(
    "word",
    [
        "pulmonary ",
        "no effusion or ",
        "increased prominent ",
        "a-",
        "heart ",
        "effusion, ",
        "(",
        "effusion (",
        "| ",
        " ",
        "effusion | ",
        "\n",
        "no\n",
        "effusion\n",
        "? ",
        "effusion: ",
        "[ ] effusion ",
        " - ",
        "a.",
        "1) ",
        "<b>",
        "kein ",
    ],
)
def test_time_grows_with_length_only(word: str) -> None:
    gc.freeze()  # what other tests left is not looked through while this one reads
    try:
        began = time.thread_time()
        read((word * 20_000)[:20_000])
        assert time.thread_time() - began < 2
    finally:
        gc.unfreeze()
