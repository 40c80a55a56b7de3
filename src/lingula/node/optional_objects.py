"""Kinds of results that are written on request: segments, a key object selection, an encapsulated PDF."""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.base import SOPClass
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from lingula import __version__
from lingula.node.result import StudyResult, statement
from lingula.node.secondary_capture import document
from lingula.node.structured_report import ALGORITHM_FAMILY, finding_code
from lingula.study import DISCLAIMER

CATEGORY = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")


def segmentation(result: StudyResult, film: int) -> Segmentation | None:
    """One segment a finding with boxes on this film; None where there is none."""
    labels = tuple(dict.fromkeys(box.label for box in result.boxes if box.film == film))
    if not labels:
        return None
    source = result.films[film]
    columns, rows = source.size
    masks = np.zeros((1, rows, columns, len(labels)), np.uint8)
    for box in result.boxes:
        if box.film == film:
            masks[0, :, :, labels.index(box.label)] |= _filled(source.stored(box.corners), rows, columns)
    algorithm = AlgorithmIdentificationSequence("lingula", ALGORITHM_FAMILY, f"{__version__} {result.analysis.model}")
    segments = [
        SegmentDescription(
            number,
            _name(result, label),
            CATEGORY,
            finding_code(result, label),
            "AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=result.uid("seg", "tracking", source.sop_instance, label),
            tracking_id=label,
        )
        for number, label in enumerate(labels, 1)
    ]
    made = Segmentation(
        source_images=[source.dataset],
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=segments,
        sop_instance_uid=result.uid("seg", source.sop_instance),
        instance_number=film + 1,
        content_description=DISCLAIMER,
        content_label="LINGULA",
        **result.maker("seg"),
    )
    made.PatientOrientation = None
    return made


def _name(result: StudyResult, label: str) -> str:
    return next(box.name for box in result.boxes if box.label == label)


def _filled(corners: list[tuple[float, float]], rows: int, columns: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    mask = np.zeros((rows, columns), np.uint8)
    mask[round(min(ys)) : max(round(max(ys)), round(min(ys)) + 1), round(min(xs)) : round(max(xs)) + 1] = 1
    return mask


def key_objects(result: StudyResult) -> KeyObjectSelectionDocument | None:
    """The films of a study with a finding that stands out; None where there is none."""
    if not result.flagged:
        return None
    placed = {box.film for box in result.boxes} or set(range(len(result.films)))
    films = [result.films[film].dataset for film in sorted(placed)]
    said = ". ".join([*result.lines(), statement(result.analysis.model)])
    return KeyObjectSelectionDocument(
        evidence=films,
        content=KeyObjectSelection(codes.DCM.OfInterest, films, description=said),
        sop_instance_uid=result.uid("ko"),
        instance_number=1,
        **result.maker("ko"),
    )


def encapsulated_document(result: StudyResult) -> SOPClass:
    """The pictures of all films as an Encapsulated PDF (PS3.3 A.45.1)."""
    source = result.films[0].dataset
    made = SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        sop_instance_uid=result.uid("pdf"),
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
        **result.maker("pdf"),
    )
    made.copy_patient_and_study_information(source)
    data = document(result)
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "YES"
    made.DocumentTitle = statement(result.analysis.model)
    made.ConceptNameCodeSequence = []
    made.ConversionType = "WSD"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(data)
    made.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
    return made
