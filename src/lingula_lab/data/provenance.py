"""Where studies come from: what a training record, an evaluation and a card may say of them, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

UNKNOWN = "not recorded in the study set"


@dataclass(frozen=True, slots=True)
class Provenance:
    """A collection, in the words of a card's answers; what nobody recorded says so.

    Attributes:
        name: of the collection, with its publication. licence: under which it may be used.
        code: short name for machines.
        people, setting, dates, deidentified, acquisition, distributor: whose films, where, when, what was removed, how
            taken, who gives them out.
    """

    name: str = UNKNOWN
    licence: str = UNKNOWN
    code: str = "other"
    people: str = UNKNOWN
    setting: str = UNKNOWN
    dates: str = UNKNOWN
    deidentified: str = UNKNOWN
    acquisition: str = UNKNOWN
    distributor: str = UNKNOWN

    @property
    def note(self) -> str:
        """One sentence for a training record."""
        return f"{self.name}, {self.licence}: education and research only."


OPENI = Provenance(
    name="Indiana University chest X-ray collection (Open-i)",
    licence="CC BY-NC-ND 4.0",
    code="open-i",
    people="adults of one American state",
    setting="two hospital systems",
    dates="Open-i; study dates are removed or shifted in the collection",
    deidentified="by the publishers of the collection; removed words stand as `XXXX`",
    acquisition="CR and DX, several devices; not documented by film beyond the DICOM header",
    distributor="NLM",
)
PHANTOM = Provenance(name="made-up studies of lingula's phantom", licence="MIT", code="phantom", people="nobody")
KNOWN = (OPENI, PHANTOM)
_OPENI_ID = re.compile(r"CXR[1-3]?\d{1,3}", re.ASCII)
_PHANTOM_ID = re.compile(r"CXR9\d{3,}", re.ASCII)


def recognised(study_ids: Iterable[str]) -> Provenance:
    """The collection whose identifiers these all are; an unknown one where they are of none, or of several."""
    ids = tuple(study_ids)
    for pattern, known in ((_OPENI_ID, OPENI), (_PHANTOM_ID, PHANTOM)):
        if ids and all(pattern.fullmatch(study_id) for study_id in ids):
            return known
    return Provenance()


def named(name: str, licence: str) -> Provenance:
    """The collection of that name, as recorded; of another than those known, only name and licence are."""
    for known in KNOWN:
        if known.name == name and known.licence == licence:
            return known
    return Provenance(name=name or UNKNOWN, licence=licence or UNKNOWN)
