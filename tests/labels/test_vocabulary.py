"""Rules, order, unknown values, identifiers and the round trip of the label vocabularies."""

from __future__ import annotations

import csv
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from lingula.errors import InputError
from lingula.labels import Vocabulary
from lingula.labels.vocabulary import SHIPPED

OPENI = Vocabulary.load("openi22")
REPOSITORY = Path(__file__).resolve().parents[2]

CODED = {
    "normal": ["normal"],
    "cardiomegaly": ["Cardiomegaly/mild", "Cardiomegaly/borderline", "Cardiac Shadow/enlarged/moderate"],
    "pulmonary_edema": ["Pulmonary Congestion", "Pulmonary Edema/bilateral/mild", "Heart Failure"],
    "pleural_effusion": ["Pleural Effusion/left/small", "Hemothorax/left"],
    "pleural_thickening": [
        "Costophrenic Angle/right/blunted/mild",
        "Thickening/pleura/apex/bilateral",
        "Sulcus/posterior/blunted",
    ],
    "pneumothorax": ["Pneumothorax/apex/right/small"],
    "atelectasis": ["Pulmonary Atelectasis/base/left", "Volume Loss/lung/upper lobe/left"],
    "airspace_disease": [
        "Airspace Disease/lung/base/right/patchy",
        "Pneumonia/middle lobe/right",
        "Infiltrate/lung/base",
        "Consolidation/lung",
    ],
    "lung_opacity": ["Opacity/lung/base/left", "Opacity", "Density/lung/lower lobe/right"],
    "interstitial_markings": [
        "Markings/bronchovascular/mild",
        "Lung/interstitial/prominent",
        "Infiltrate/lung/interstitial",
        "Opacity/lung/bilateral/interstitial",
        "Pulmonary Fibrosis/base",
    ],
    "hyperinflation": [
        "Lung/hyperdistention/mild",
        "Diaphragm/bilateral/flattened",
        "Emphysema",
        "Pulmonary Disease, Chronic Obstructive",
    ],
    "hypoinflation": ["Lung/hypoinflation", "Lung/base/right/hypoinflation/mild"],
    "nodule_mass": ["Nodule/lung/upper lobe/right", "Mass/lung/hilum/left", "Opacity/lung/lingula/round"],
    "granuloma": [
        "Calcified Granuloma/lung/upper lobe/right",
        "Granulomatous Disease/chronic",
        "Calcinosis/lung/hilum/lymph nodes/right",
    ],
    "scar": ["Cicatrix/lung/apex/bilateral", "Cicatrix"],
    "aortic_disease": ["Aorta/tortuous", "Aorta, Thoracic/tortuous/mild", "Atherosclerosis/aorta", "Calcinosis/aorta"],
    "degenerative_spine": [
        "Thoracic Vertebrae/degenerative",
        "Thoracic vertebrae/degenerative/mild",
        "Spine/degenerative/diffuse",
        "Osteophyte/thoracic vertebrae/anterior",
        "Spondylosis",
    ],
    "spinal_curvature": ["Scoliosis/thoracic vertebrae/right", "Kyphosis/severe"],
    "fracture": ["Fractures, Bone/ribs/left/healed", "Deformity/thoracic vertebrae/anterior", "Deformity/ribs/right"],
    "elevated_diaphragm": ["Diaphragm/right/elevated", "Diaphragmatic Eventration/right"],
    "hernia": ["Hernia, Hiatal/large"],
    "device": ["Catheters, Indwelling/right", "Surgical Instruments/abdomen", "Implanted Medical Device/left"],
}
SEVERAL = [  # one term, two labels
    ("Hydropneumothorax/right", {"pleural_effusion", "pneumothorax"}),
    ("Hemopneumothorax/right/moderate", {"pleural_effusion", "pneumothorax"}),
]
NOT_CODED = """
Lung/azygos lobe | Lung/hilum/prominent | Costophrenic Angle/right/obscured | Diaphragm/left/obscured
Cardiac Shadow/right/prominent | Heart/small | Subcutaneous Emphysema/neck | Mediastinal Emphysema
Shoulder/right/degenerative | Osteophyte/shoulder/bilateral | Arthritis/humerus/left | Sclerosis/humerus/right
Deformity/breast | Opacity/ribs/anterior | Density/ribs/left/round | Opacity/mediastinum | Density/breast
Nodule/heart/left | Mass/breast/large | Granuloma/ribs/right | Calcinosis/abdomen | Calcinosis/ribs | Cicatrix/ribs/left
Aorta/obscured | Trachea/right/tortuous | Pleura/base/abnormal | Pericardial Effusion | Nipple Shadow/left
Cystic Fibrosis | normality
""".replace("\n", "|").split("|")


def test_every_label_has_a_worked_example() -> None:
    assert set(CODED) == set(OPENI.codes)
    assert len(OPENI) == len(OPENI.codes) == 22


@pytest.mark.parametrize(("term", "code"), [(term, code) for code, terms in CODED.items() for term in terms])
def test_term_gives_its_label_and_no_other(term: str, code: str) -> None:
    assert OPENI.present([term]) == (code,)
    assert OPENI.present([term.upper().replace(" ", "  ")]) == (code,)


@pytest.mark.parametrize(("term", "codes"), SEVERAL)
def test_term_with_two_labels(term: str, codes: set[str]) -> None:
    assert set(OPENI.present([term])) == codes


@pytest.mark.parametrize("term", [term.strip() for term in NOT_CODED if term.strip()])
def test_near_miss_gives_nothing(term: str) -> None:
    assert OPENI.present([term]) == ()
    assert not OPENI.encode([term]).any()  # coded, and none of the labels


def test_qualifiers_tell_labels_apart() -> None:
    assert OPENI.present(["Calcinosis/aorta/lymph nodes"]) == ("granuloma",)
    assert OPENI.present(["Cicatrix/pleura/apex"]) == ("pleural_thickening",)
    assert "airspace_disease" not in OPENI.present(["Infiltrate/lung/interstitial"])


@pytest.mark.parametrize(
    "terms",
    [None, [], ["No Indexing"], ["Technical Quality of Image Unsatisfactory "], ["no indexing", "No Indexing"]],
)
def test_unknown_is_not_absent(terms: list[str] | None) -> None:
    assert np.isnan(OPENI.encode(terms)).all()
    assert OPENI.present(terms) == ()


def test_encode_follows_the_code_order() -> None:
    terms = ["Lung/hypoinflation", "Technical Quality of Image Unsatisfactory", "Cardiomegaly"]
    encoded = OPENI.encode(terms)
    assert encoded.dtype == np.float32
    assert encoded.shape == (22,)
    assert [code for code, value in zip(OPENI.codes, encoded, strict=True) if value == 1] == list(OPENI.present(terms))
    assert OPENI.present(terms) == ("cardiomegaly", "hypoinflation")


def test_normal_and_abnormal() -> None:
    assert OPENI.normal == "normal"
    assert OPENI.abnormal == tuple(code for code in OPENI.codes if code != "normal")
    assert Vocabulary.load("card22").present(["No Indexing"]) == ("normal",)  # what those groups counted


@pytest.mark.parametrize("name", SHIPPED)
def test_round_trip_keeps_digest_and_meaning(name: str) -> None:
    vocabulary = Vocabulary.load(name)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again.digest == vocabulary.digest
    assert again.labels == vocabulary.labels
    assert again.to_json() == vocabulary.to_json()


def test_digest_sees_a_changed_rule_but_not_the_order_of_keys() -> None:
    body = OPENI.to_json()
    assert Vocabulary.from_json(dict(reversed(body.items()))).digest == OPENI.digest
    body["labels"][1]["rules"][0]["headings"].append("Heart Atria")
    assert Vocabulary.from_json(body).digest != OPENI.digest


def test_refuses_what_is_not_a_vocabulary(tmp_path: Path) -> None:
    doubled = OPENI.to_json()
    doubled["labels"].append(doubled["labels"][0])
    misspelt = OPENI.to_json()
    misspelt["labels"][0]["rules"][0]["heading"] = ["normal"]
    for body in (doubled, misspelt, {**OPENI.to_json(), "normal": "healthy"}, {}, []):
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(body))
        with pytest.raises(InputError) as caught:
            Vocabulary.load(path)
        assert caught.value.code == "bad_request"
    (tmp_path / "labels.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="not a vocabulary"):
        Vocabulary.load(tmp_path / "labels.json")
    with pytest.raises(InputError, match=r"openi23.*openi22"):
        Vocabulary.load("openi23")
    with pytest.raises(InputError, match="no label 'flu'"):
        OPENI["flu"]


@pytest.mark.parametrize("name", SHIPPED)
def test_identifiers_exist_under_their_names(name: str, shared_data: Path) -> None:
    folder = shared_data / "ontologies"
    mesh = dict(line.split("\t")[:2] for line in (folder / "mesh2015_terms.tsv").read_text("utf-8").splitlines())
    with (folder / "radlex_term_rid_parent.csv").open(encoding="cp1252", newline="") as file:
        radlex = {row[1]: row[0] for row in csv.reader(file)}
    doid = dict(re.findall(r"^id: (DOID:\d+)\nname: (.+)$", (folder / "HumanDO_2016.obo").read_text("utf-8"), re.M))
    known = {"mesh": mesh, "radlex": radlex, "doid": doid}
    for label in Vocabulary.load(name).labels:
        assert [entry.ontology for entry in label.identifiers] == list(known)
        for entry in label.identifiers:
            if entry.id is None:
                assert entry.reason, (label.code, entry.ontology)
            else:
                assert known[entry.ontology].get(entry.id) == entry.name, (label.code, entry)
                assert entry.match in ("exact", "close", "broad", "narrow")


def test_support_on_the_collection_is_the_committed_one(shared_data: Path) -> None:
    script = runpy.run_path(str(REPOSITORY / "benchmarks" / "label_support.py"))
    committed = json.loads((REPOSITORY / "benchmarks" / "results" / "label_support.json").read_text())
    assert script["support"](shared_data / "openi" / "NLMCXR_reports.tgz") == committed
