"""The gate, and findings on films of other sources: what stands before an answer and what the answer is worth there.

    python benchmarks/external.py FEATURES

FEATURES is what ``lingula gate --features`` kept: features and logits of films of Open-i (training and validation
part), NIH ChestX-ray14 (``nih14``, and ``nih_bbox_dev`` where it is there), children, RSNA normals and other pictures.
No film of a test part is among them. Patients of NIH are left out in turn, kinds of pictures one by one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lingula.model.checkpoint import load_checkpoint
from lingula.model.gate import gate_of
from lingula_lab.data.label_file import LabelFile
from lingula_lab.data.make_split import UNKNOWN
from lingula_lab.evaluation.tables.sources import sources_table
from lingula_lab.gate import measure
from lingula_lab.gate.films import GateFilms
from lingula_lab.gate.outside import nih_targets
from machine import write_result


def main() -> None:
    films, checkpoint = GateFilms.load(Path(sys.argv[1])), load_checkpoint("compact")
    codes, shipped = checkpoint.vocabulary.codes, checkpoint.calibration["image"]
    gate = gate_of(checkpoint.fingerprint)
    if gate is None:
        raise SystemExit("The checkpoint has no gate; fit it with lingula gate.")
    accepted = measure.false_accepts(films)
    own = gate.log_odds(films.features[measure.validation(films)])
    nih = measure.crossed(films, "nih14", codes, shipped)
    children = measure.crossed(films, "kermany_paediatric", codes, shipped)
    patients, views = films.patient[nih.rows], films.view[nih.rows]
    normal = nih_targets(films.labels[nih.rows].tolist(), codes)[:, codes.index("normal")] == 1
    portable = views == "AP"
    auroc, by_label = measure.macro_auroc(films, "nih14", codes)
    chest = nih.log_odds[:, 0] >= 0
    figures = {
        "gate_false_accept": accepted["mean"],
        "gate_false_reject_openi": measure.share(own[:, 0] < 0),
        "gate_false_reject_nih": measure.share(~chest, patients),
        "gate_false_reject_children": measure.share(children.log_odds[:, 0] < 0, films.patient[children.rows]),
        "gate_unlike_openi": measure.share((own[:, 0] >= 0) & (own[:, 1] < 0)),
        "gate_unlike_nih": measure.share(chest & (nih.log_odds[:, 1] < 0), patients),
        "gate_unlike_portable": measure.share((chest & (nih.log_odds[:, 1] < 0))[portable], patients[portable]),
        "gate_ap_right": measure.share(((nih.log_odds[:, 3] >= 0) == portable), patients),
        "nih_auroc_macro": auroc,
        "nih_flags_normal": measure.flagged(nih.called[normal], codes, patients[normal]),
        "nih_flags_portable": measure.flagged(nih.called[portable], codes, patients[portable]),
        "nih_ece": measure.calibration_error(nih, films, codes),
    }
    body = {
        "model": checkpoint.fingerprint,
        "split": gate.about.get("split"),
        "films": {source: int((films.source == source).sum()) for source in sorted(set(films.source.tolist()))},
        "judged_outside": [
            code for code, judged in zip(codes, gate.outside.judged if gate.outside else (), strict=False) if judged
        ],
        "false_accept_by_kind": {kind: each.to_json() for kind, each in accepted.items()},
        "nih_auroc_by_label": by_label,
        **{name: each.to_json() for name, each in figures.items()},
    }
    labels = LabelFile.load("openi-v1").codes
    coded = {study: codes for study, codes in labels.items() if UNKNOWN not in codes}
    body["tables"] = {"sources": sources_table(films, checkpoint, coded).to_json()}
    if (films.source == "nih_bbox_dev").any():
        boxed, boxed_labels = measure.macro_auroc(films, "nih_bbox_dev", codes)
        body |= {"nih_bbox_dev_auroc_macro": boxed.to_json(), "nih_bbox_dev_auroc_by_label": boxed_labels}
    units = {"nih_auroc_macro": "macro AUROC", "nih_flags_normal": "findings a film", "nih_ece": "ECE"}
    units["nih_flags_portable"] = "findings a film"
    headline = {name: {**each.to_json(), "unit": units.get(name, "share")} for name, each in figures.items()}
    write_result("external", body, headline)


if __name__ == "__main__":
    main()
