"""The answer as a Comprehensive 3D SR by TID 1500 (PS3.16), in the form that readers in use can show.

Regions are measurement groups of their own, each with its own tracking identifier and its finding's probability as the
one number, which OHIF writes beside it. A number without a region, or groups that share an identifier, lose regions
there, and a group without a region on an image keeps it from showing any. So the findings of the whole study are one
group on the frame of the first film: each a coded evaluation with its probability as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from highdicom import sr
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from lingula import __version__
from lingula.node.result import MANUFACTURER, MODEL_NAME, StudyResult, made_uid, statement
from lingula.node.source_film import SourceFilm
from lingula.study import Decision, Prediction

SCHEME = "99LINGULA"
PROCEDURE = CodedConcept("399208008", "SCT", "Plain chest X-ray")
THORAX = CodedConcept("816094009", "SCT", "Thorax")
PRESENCE = CodedConcept("presence", SCHEME, "Presence on the films")
PROBABILITY = CodedConcept("probability", SCHEME, "Calibrated probability")
WHOLE_STUDY = CodedConcept("whole_study", SCHEME, "Findings of the whole study")
COMMENT = CodedConcept("121106", "DCM", "Comment")
ALGORITHM_FAMILY = CodedConcept("123110", "DCM", "Artificial Neural Networks")
PERCENT = CodedConcept("%", "UCUM", "percent")
PIXELS = CodedConcept("{pixels}", "UCUM", "Pixels")
MODALITIES = {"CR": codes.cid29.ComputedRadiography, "DX": codes.cid29.DigitalRadiography}
DECISIONS: dict[Decision, CodedConcept] = {
    "present": CodedConcept("52101004", "SCT", "Present"),
    "absent": CodedConcept("272519000", "SCT", "Absent"),
    "abstain": CodedConcept("82334004", "SCT", "Indeterminate"),
    "cannot_judge": CodedConcept("cannot_judge", SCHEME, "Cannot be judged from such a film"),
}


def structured_report(result: StudyResult) -> sr.Comprehensive3DSR:
    """The report of a study."""
    sources = [film.dataset for film in result.films]
    groups = [*_regions(result), _findings(result)]
    document = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(result)),
        procedure_reported=PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    root = document[0]
    root.ContentSequence.insert(len(root.ContentSequence) - 1, _image_library(result))
    comments = [statement(result.analysis.model), *result.lines()]
    comments += [notice.message for notice in result.analysis.notices]
    root.ContentSequence.extend(_text(COMMENT, comment) for comment in comments)
    made = sr.Comprehensive3DSR(
        evidence=sources,
        content=root,
        sop_instance_uid=result.uid("sr"),
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.maker("sr"),
    )
    return made


def _image_library(result: StudyResult) -> sr.ContainerContentItem:
    """The films, as TID 1600 lists them; highdicom's own class asks for spacings that films of the chest often lack."""
    contains = sr.RelationshipTypeValues.CONTAINS
    library = sr.ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=contains)
    group = sr.ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=contains)
    group.ContentSequence = sr.ContentSequence([_library_entry(film) for film in result.films])
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _library_entry(film: SourceFilm) -> sr.ImageContentItem:
    context = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    entry = sr.ImageContentItem(
        name=CodedConcept("260753009", "SCT", "Source"),
        referenced_sop_class_uid=film.dataset.SOPClassUID,
        referenced_sop_instance_uid=film.sop_instance,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
    modality = MODALITIES.get(film.header.get("Modality", ""), codes.cid29.RadiographicImaging)
    columns, rows = film.size
    entry.ContentSequence = sr.ContentSequence(
        [
            sr.CodeContentItem(codes.DCM.Modality, modality, context),
            sr.NumContentItem(codes.DCM.PixelDataRows, rows, PIXELS, relationship_type=context),
            sr.NumContentItem(codes.DCM.PixelDataColumns, columns, PIXELS, relationship_type=context),
        ]
    )
    return entry


def _observer(result: StudyResult) -> sr.ObserverContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=made_uid("device", result.analysis.model),
        name="lingula",
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=result.analysis.model,
    )
    return sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _algorithm(result: StudyResult) -> sr.AlgorithmIdentification:
    version = f"{__version__}, model {result.analysis.model}"
    return sr.AlgorithmIdentification("lingula", version, family=ALGORITHM_FAMILY, manufacturer=MANUFACTURER)


def _regions(result: StudyResult) -> Iterator[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    said = {prediction.label: prediction for prediction in result.analysis.predictions}
    for number, box in enumerate(result.boxes, 1):
        film = result.films[box.film]
        corners = film.stored(box.corners)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(result, f"{box.name} {number}", "region", str(number)),
            referenced_region=_region(film, corners),
            finding_type=finding_code(result, box.label),
            algorithm_id=_algorithm(result),
            finding_sites=[sr.FindingSite(THORAX)],
            qualitative_evaluations=[sr.QualitativeEvaluation(PRESENCE, DECISIONS["present"])],
            measurements=[_measured(said[box.label])],
        )
        if (probability := _probability(said[box.label])) is not None:
            group[0].ContentSequence.append(probability)
        yield group


def _findings(result: StudyResult) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """What is said of the whole study, each finding with its probability below it; that nothing was judged, too."""
    film = result.films[0]
    (columns, rows), edge = film.size, 0.5
    corners = [(edge, edge), (columns - edge, edge), (columns - edge, rows - edge), (edge, rows - edge)]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, "Whole study", "findings"),
        referenced_region=_region(film, corners),
        finding_type=WHOLE_STUDY,
        algorithm_id=_algorithm(result),
        finding_sites=[sr.FindingSite(THORAX)],
        qualitative_evaluations=[_evaluation(result, each) for each in result.analysis.predictions]
        or [sr.QualitativeEvaluation(PRESENCE, DECISIONS["cannot_judge"])],
    )


def _measured(prediction: Prediction) -> sr.Measurement:
    """The probability as a number that says in words what it is of."""
    name = CodedConcept(f"p_{prediction.label}"[:16], SCHEME, f"{prediction.name}, probability")
    return sr.Measurement(name=name, value=round(100 * prediction.probability, 1), unit=PERCENT)


def _evaluation(result: StudyResult, prediction: Prediction) -> sr.QualitativeEvaluation:
    found = sr.QualitativeEvaluation(finding_code(result, prediction.label), DECISIONS[prediction.decision])
    if (probability := _probability(prediction)) is not None:
        probability.RelationshipType = sr.RelationshipTypeValues.HAS_PROPERTIES.value
        found[0].ContentSequence = sr.ContentSequence([probability])
    return found


def _region(film: SourceFilm, corners: Sequence[tuple[float, float]]) -> sr.ImageRegion:
    """A closed outline on a film, in the pixels that it is stored with."""
    source = sr.SourceImageForRegion(film.dataset.SOPClassUID, film.sop_instance)
    return sr.ImageRegion(
        sr.GraphicTypeValues.POLYLINE, graphic_data=np.array([*corners, corners[0]]), source_image=source
    )


def _tracking(result: StudyResult, name: str, *parts: str) -> sr.TrackingIdentifier:
    return sr.TrackingIdentifier(uid=result.uid("sr", "tracking", *parts), identifier=name)


def _probability(prediction: Prediction) -> sr.TextContentItem | None:
    """The probability as text; a finding that cannot be judged has none."""
    if prediction.decision == "cannot_judge":
        return None
    between = prediction.interval
    spread = f"; 95 % {between[0]:.3f} to {between[1]:.3f}" if between else ""
    return _text(PROBABILITY, f"{prediction.probability:.3f}{spread}")


def _text(name: CodedConcept, value: str) -> sr.TextContentItem:
    return sr.TextContentItem(name=name, value=value, relationship_type=sr.RelationshipTypeValues.CONTAINS)


def finding_code(result: StudyResult, label: str) -> CodedConcept:
    """RadLex' code where it means the label exactly, else the vocabulary's own."""
    entry = next(each for each in result.vocabulary.labels if each.code == label)
    radlex = entry.identifier("radlex")
    if radlex is not None and radlex.id and radlex.match == "exact":
        return CodedConcept(radlex.id, "RADLEX", radlex.name or entry.name)
    return CodedConcept(label[:16], SCHEME, entry.name)
