"""A data set without its patient (PS3.15 annex E)."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from datetime import datetime, timedelta

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from lingula import __version__
from lingula.deidentification.profile import BASIC, CLEAN_PIXELS, CODES, Deed, Option, deed, rules
from lingula.labels.identifiers import Names
from lingula.library.identity import pseudonym
from lingula.library.record import OLDEST, age_in_years
from lingula.reading.dicom.identifiers import identifiers

DAYS = 3650
"""Most days by which the dates of a patient are moved into the past."""
_TEXT = ("AE", "CS", "LO", "SH")
_FREE = ("LT", "ST", "UC", "UN", "UR", "UT")
_STANDARD = "1.2.840.10008."


class Deidentifier:
    """One way to de-identify, with one secret: the same patient, UID or date becomes the same in every file.

    Args:
        secret: whoever has it can tell which pseudonym a known name got; without it nobody can.
        options: of the profile, checked.
    """

    def __init__(self, secret: bytes, options: tuple[Option, ...]) -> None:
        self._secret, self._options = secret, options

    def header(self, dataset: Dataset, *, pixels_cleaned: bool) -> Counter[str]:
        """Change a data set in place.

        Returns:
            How many attributes were removed, emptied, …, by what was done.
        """
        patient = self._patient(dataset)
        names, shift = Names(identifiers(dataset)), self._shift(patient)
        age = age_in_years(str(dataset.get("PatientBirthDate", "")), str(dataset.get("StudyDate", "")))
        done: Counter[str] = Counter()
        self._clean(dataset, names, shift, done)
        dataset.PatientID = patient
        dataset.PatientName = patient
        if "patient" in self._options:
            self._keep_age(dataset, age)
        dataset.preamble = b"\0" * 128
        meta = getattr(dataset, "file_meta", None)
        if meta is not None:
            for keyword in [element.keyword for element in meta if element.tag.element >= 0x16 or not element.keyword]:
                if keyword:
                    del meta[keyword]
            meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
        self._sign(dataset, pixels_cleaned)
        return done

    def names(self, dataset: Dataset) -> Names:
        """What this header says of persons."""
        return Names(identifiers(dataset))

    def _patient(self, dataset: Dataset) -> str:
        told = "\\".join(str(dataset.get(keyword, "")) for keyword in ("PatientID", "IssuerOfPatientID"))
        if not told.strip("\\"):
            told = str(dataset.get("PatientName", "")) or str(dataset.get("StudyInstanceUID", ""))
        return f"P{self._keyed('patient', told).hex()[:12].upper()}"

    def _shift(self, patient: str) -> timedelta:
        return timedelta(days=-1 - int.from_bytes(self._keyed("days", patient)[:4], "big") % DAYS)

    def _keyed(self, purpose: str, text: str) -> bytes:
        return hmac.new(self._secret, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def _clean(self, dataset: Dataset, names: Names, shift: timedelta, done: Counter[str]) -> None:
        for tag in list(dataset.keys()):
            group = tag >> 16
            if group % 2 or group & 0xFF00 in (0x5000, 0x6000) or group == 0xFFFC:
                del dataset[tag]
                done["remove"] += 1
                continue
            if tag in (0x7FE00010, 0x7FE00008, 0x7FE00009):
                continue
            try:
                element = dataset[tag]
            except Exception:  # a value that does not parse may say anything
                del dataset[tag]
                done["remove"] += 1
                continue
            self._do(self._deed(element), dataset, element, names, shift, done)

    def _deed(self, element: DataElement) -> Deed:
        rule = rules().get(int(element.tag))
        vr = str(element.VR)
        if rule is not None:
            return deed(rule, vr, self._options)
        if element.keyword == "TextValue":  # of a structured report
            return "clean" if "structured" in self._options else "dummy"
        if vr == "SQ":
            return "recurse"
        if vr == "UI":
            return "uid" if "uids" not in self._options else "keep"
        if vr in ("DA", "DT"):
            return "keep" if "full_dates" in self._options else "shift"
        if vr == "PN":
            return "empty"
        if vr in _FREE:
            return "remove"
        return "clean" if vr in _TEXT else "keep"

    def _do(
        self, what: Deed, dataset: Dataset, element: DataElement, names: Names, shift: timedelta, done: Counter[str]
    ) -> None:
        before = element.value if element.VR != "SQ" else None
        match what:
            case "remove":
                del dataset[element.tag]
            case "empty":
                element.value = Sequence() if element.VR == "SQ" else None
            case "dummy":
                element.value = _dummy(element, self._keyed("dummy", str(element.value)))
            case "uid":
                element.value = self._uid(element.value)
            case "shift":
                if not _shifted(element, shift):
                    element.value = None
            case "clean":
                _clean_text(element, names)
            case "recurse":
                for item in element.value:
                    self._clean(item, names, shift, done)
                return
            case "keep":
                pass
        if what in ("remove", "empty") or (what != "keep" and element.value != before):
            done[what] += 1

    def _uid(self, value: object) -> object:
        if isinstance(value, MultiValue | list):
            return [self._uid(each) for each in value]
        text = str(value or "")
        return text if not text or text.startswith(_STANDARD) else pseudonym(self._secret, text)

    def _keep_age(self, dataset: Dataset, age: int | None) -> None:
        told = str(dataset.get("PatientAge", ""))
        if told[:3].isdigit() and told.endswith("Y"):
            age = min(int(told[:3]), OLDEST)
        if age is not None:
            dataset.PatientAge = f"{age:03}Y"

    def _sign(self, dataset: Dataset, pixels_cleaned: bool) -> None:
        codes = [BASIC, *([CLEAN_PIXELS] if pixels_cleaned else []), *(CODES[option] for option in self._options)]
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = f"lingula {__version__}: PS3.15 2026c"
        dataset.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in codes])
        dates = "UNMODIFIED" if "full_dates" in self._options else "REMOVED"
        dataset.LongitudinalTemporalInformationModified = "MODIFIED" if "shifted_dates" in self._options else dates
        if pixels_cleaned and "PixelData" in dataset:
            dataset.BurnedInAnnotation = "NO"


def _dummy(element: DataElement, key: bytes) -> object:
    """A value that its value representation allows and that says nothing; equal for equal values."""
    text = key.hex()[:12].upper()
    match str(element.VR):
        case "DA":
            return "19000101"
        case "DT":
            return "19000101000000"
        case "TM":
            return "000000"
        case "PN" | "LO" | "SH" | "LT" | "ST" | "UT" | "UC" | "CS" | "AE":
            return f"X{text}"
        case "UI":
            return pseudonym(key, text)
        case "OB" | "OW" | "UN" | "OF" | "OD" | "OL":
            return b"\0\0"
        case "AS":
            return "000Y"
    return None


def _shifted(element: DataElement, shift: timedelta) -> bool:
    """Move the date of a DA or DT; False where it is none."""
    several = isinstance(element.value, MultiValue | list)
    moved = []
    for value in element.value if several else [element.value]:
        text = str(value or "")
        if not text:
            moved.append("")
            continue
        try:
            day = datetime.strptime(text[:8], "%Y%m%d") + shift
        except (ValueError, OverflowError):
            return False
        moved.append(day.strftime("%Y%m%d") + (text[8:] if element.VR == "DT" else ""))
    element.value = moved if several else moved[0]
    return True


def _clean_text(element: DataElement, names: Names) -> None:
    prose = str(element.VR) in _FREE or (str(element.VR) == "LO" and " " in str(element.value))

    def cleaned(value: object) -> str:
        return names.cleaned(str(value or ""), forms=prose)[0]

    if isinstance(element.value, MultiValue | list):
        element.value = [cleaned(each) for each in element.value]
    elif isinstance(element.value, bytes):
        element.value = b""
    else:
        text = cleaned(element.value)
        if element.VR in ("CS", "AE", "SH") and text != str(element.value or ""):
            text = ""  # a mask is no code
        element.value = text


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
