"""Is it a radiograph of a human chest? What Modality, SOP class, body part and descriptions say, in any language."""

from __future__ import annotations

import contextlib
import re
import unicodedata

from pydicom.dataset import Dataset
from pydicom.uid import UID

from lingula.errors import InputError, Notice
from lingula.reading.dicom.attributes import allowed
from lingula.reading.dicom.elements import element, shown, text

MODALITIES = frozenset({"CR", "DX", "RG"})
_RELATED = frozenset({"", "DR", "XR", "RF", "OT", "SC", "XC", "HC", "FS", "DF"})
"""Names of projection radiography that are retired or no defined terms, and those that digitised films go by."""
_OTHER = (
    "CT MR US PT NM MG IO PX XA BMD BI DG EC EM ES GM IVUS IVOCT LS OCT OP OPT PR RTIMAGE RTDOSE RTPLAN RTSTRUCT "
    "SEG SM SR TG KO REG DOC ECG EEG AU"
)
_OTHER_MODALITIES = frozenset(_OTHER.split())
_PROJECTION_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.1{last}" for last in ("", ".1", ".1.1"))  # CR, DX (PS3.4 B.5)
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture, and its multi-frame kinds
_SERIES = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
_CHEST_WORDS = ("CHEST", "THORAX", "TORAX", "TORACE", "POUMON", "PULMON", "CORAZON", "COEUR", "GOGUS", "AKCIGER")
_CHEST = re.compile(
    r"CHEST|CHST|\bCHE\b|THORA|\bTHX\b|TORA[CKXS]|C[- ]?X[- ]?R\b|LUNG|PULM|POUMON|POLMON|HEART|CARDIA|COEUR|CUORE"
    r"|CORAZON|CORACAO|HERZ|MEDIASTIN|\bRIBS?\b|RIPPE|COSTILLA|STERN[UO]|BRUST|PECHO|PEITO|PETTO|POITRINE|BORST|BRYST"
    r"|BROST|RINTA|KEUHKO|KLATK|PIERSI|PLUC|HRUDN|GRUDN|MELLKAS|GOGUS|AKCIGER|\bNGUC\b|\bPHOI\b|\bDADA\b|\bPARU\b"
    r"|ГРУД|ЛЕГК|ТОРАК|ΘΩΡΑΚ|ΠΝΕΥΜ|胸|肺|흉부|가슴|صدر|رئة|חזה|ריאות|ทรวงอก|ปอด|छाती"
)
_SPINE = re.compile(r"SPINE|WIRBEL|\bBWS\b|COLUMN|COLONN|RACHIS|VERTEBR|WERVEL")
_NO_PART = frozenset(
    ["", "UNKNOWN", "UNDEFINED", "UNSPECIFIED", "NOT SPECIFIED", "OTHER", "NONE", "NA", "N/A", "BODY", "WHOLEBODY",
     "WHOLE BODY", "TRUNK", "TORSO", "PA", "AP", "LAT", "LATERAL", "PA LAT", "PA AND LAT", "PORTABLE", "PORT",
     "BEDSIDE", "ROUTINE", "GENERAL", "MISC", "XRAY", "X-RAY", "XR", "RX", "CR", "DX", "DR", "DEFAULT", "ANY"]
)  # fmt: skip
_OTHER_PART = re.compile(
    r"\b(TEETH|TOOTH|DENTAL|JAW|MANDIBLE|SKULL|SINUS(ES)?|KNEES?|HIPS?|PELVIS|FOOT|FEET|ANKLES?|HANDS?|WRISTS?|ELBOWS?"
    r"|FEMUR|TIBIA|HUMERUS|SHOULDERS?|FINGERS?|TOES?|ABDOMEN|BREASTS?|MAMMO\w*|[CL]-?SPINE|EXTREMIT\w*|ARMS?|LEGS?"
    r"|HEAD|NECK|KNIE|GENOU|RODILLA|GINOCCHIO|SCHAEDEL|SCHADEL|CRANEO?|CRANIO|BECKEN|BASSIN|HUE?FTE|HANCHE|CADERA"
    r"|SCHULTER|EPAULE|HOMBRO)\b"
)
_ANIMAL = re.compile(r"\b(CANINE|FELINE|EQUINE|BOVINE|OVINE|PORCINE|AVIAN|VETERINA\w*)\b")


def folded(value: str) -> str:
    """Upper case without accents; UTF-8 that was read as Latin-1 is mended first."""
    with contextlib.suppress(UnicodeEncodeError, UnicodeDecodeError):
        value = value.encode("latin-1").decode("utf-8")
    plain = "".join(char for char in unicodedata.normalize("NFKD", value.upper()) if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", plain).replace("Œ", "OE").replace("_", " ").strip()


def names_chest(value: str) -> bool:
    """Whether folded text names the chest, also where letters were lost and stand as question marks."""
    if _CHEST.search(value):
        return not _SPINE.search(value) or "CHEST" in value
    lost = re.compile(r"[?\ufffd]+")
    lossy = [".{1,2}".join(map(re.escape, lost.split(word))) for word in value.split() if lost.search(word)]
    return any(re.fullmatch(pattern, word) for pattern in lossy for word in _CHEST_WORDS)


def other_modality(dataset: Dataset, sop_class: str) -> str | None:
    """Why the modality is none that is read; None where it is.

    CR, DX and RG are read. So are other or missing names where the SOP class is that of CR or DX, or the header names
    the chest: digitised and captured films go by SC and OT.

    Args:
        sop_class: Media Storage SOP Class UID, for a data set that lost its own.
    """
    modality = text(dataset, "Modality").upper()
    if modality in MODALITIES:
        return None
    kind = text(dataset, "SOPClassUID") or sop_class
    if modality not in _OTHER_MODALITIES:
        if kind in _PROJECTION_CLASSES:
            return None
        is_vague = kind.startswith(_CAPTURE) or UID(kind).name == kind  # the latter: unknown to the Standard, or none
        if modality in _RELATED and (is_vague or modality) and _chest_is_named(dataset):
            return None
    if not modality:
        return "the header does not name a modality; only CR, DX and RG are read"
    return f"modality {shown(modality)}; only CR, DX and RG are read"


def modality_notices(dataset: Dataset) -> tuple[Notice, ...]:
    modality = text(dataset, "Modality").upper()
    if modality in MODALITIES:
        return ()
    known = allowed("Modality", modality)  # a notice is stored with the film: nothing else of the header is told
    named = f"modality {known}" if known else "an unknown modality" if modality else "no modality"
    return (Notice("modality_assumed", f"The header says {named}; the film was read as a projection radiograph."),)


def judge_body_part(dataset: Dataset) -> None:
    """Refuse a film of another part, or of an animal, by what is named; descriptions of the series outrank a part.

    Raises:
        InputError: wrong_body_part.
    """
    part, series, study = _named_part(dataset), _described(dataset, *_SERIES), _described(dataset, "StudyDescription")
    if not is_no_part(part) and not names_chest(part):
        other = _OTHER_PART.search(part) or _SPINE.search(part)
        described = series if other else f"{series} {study}"
        if not names_chest(described) or _OTHER_PART.search(described):
            raise InputError("wrong_body_part", f"body part {shown(part)}; only the chest is read")
    described = f"{series} {study}"
    if is_no_part(part) and not names_chest(described) and (met := _OTHER_PART.search(described)):
        raise InputError("wrong_body_part", f"described as {shown(met[0])}; only the chest is read")
    species = text(dataset, "PatientSpeciesDescription").upper()
    animal = _ANIMAL.search(described)
    if animal or species not in ("", "HUMAN", "HOMO SAPIENS"):
        named = shown(animal[0] if animal else species)
        raise InputError("wrong_body_part", f"an animal ({named}); only the human chest is read")


def body_part_notices(dataset: Dataset) -> tuple[Notice, ...]:
    """body_part_absent, or body_part_conflict where only a description names the chest."""
    part = _named_part(dataset)
    if is_no_part(part):
        return (Notice("body_part_absent", "The header does not name the body part; a chest is assumed."),)
    if names_chest(part):
        return ()
    message = "The header names another body part, its description the chest; the chest was believed."
    return (Notice("body_part_conflict", message),)


def is_no_part(part: str) -> bool:
    return part in _NO_PART


def _chest_is_named(dataset: Dataset) -> bool:
    described = _described(dataset, *_SERIES, "StudyDescription")
    return names_chest(_named_part(dataset)) or names_chest(described)


def _named_part(dataset: Dataset) -> str:
    part = folded(text(dataset, "BodyPartExamined"))
    if part in _NO_PART:
        region = element(dataset, "AnatomicRegionSequence")
        part = folded(text(region[0], "CodeMeaning")) if region else part
    return part


def _described(dataset: Dataset, *keywords: str) -> str:
    return " ".join(filter(None, (folded(text(dataset, keyword)) for keyword in keywords)))
