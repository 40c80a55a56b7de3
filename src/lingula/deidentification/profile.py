"""PS3.15 table E.1-1 as data: what becomes of an attribute under the Basic Profile and its options.

``profile.tsv`` holds the table (2026c): X removed, Z emptied, D replaced by a dummy, U a UID that is replaced; several
with a slash where it depends on the attribute's type in an object. An option's column says K, kept, or C, cleaned.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from lingula.errors import InputError

Option = Literal[
    "uids", "device", "institution", "patient", "full_dates", "shifted_dates", "descriptors", "structured", "graphics"
]
Deed = Literal["remove", "empty", "dummy", "uid", "shift", "clean", "keep", "recurse"]
OPTIONS: tuple[Option, ...] = get_args(Option)
DEFAULT: tuple[Option, ...] = ("patient", "shifted_dates", "structured")
CODES = {  # PS3.16 CID 7050
    "uids": ("113110", "Retain UIDs Option"),
    "device": ("113109", "Retain Device Identity Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "full_dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "shifted_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "descriptors": ("113105", "Clean Descriptors Option"),
    "structured": ("113104", "Clean Structured Content Option"),
    "graphics": ("113103", "Clean Graphics Option"),
}
BASIC = ("113100", "Basic Application Confidentiality Profile")
CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
_WITHIN = ("ContentSequence", "GraphicAnnotationSequence", "VerifyingObserverSequence")
"""Sequences that an object needs: they are cleaned within where others that ask for a dummy are removed."""


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One row of the table; ``options`` holds K or C by option."""

    tag: int
    keyword: str
    basic: str
    options: dict[str, str]


@cache
def rules() -> dict[int, ProfileRow]:
    """The table by tag."""
    head, *lines = files("lingula.deidentification").joinpath("profile.tsv").read_text("utf-8").splitlines()
    names = head.split("\t")[3:]
    found = {}
    for line in lines:
        tag, keyword, basic, *told = line.split("\t")
        options = {name: code for name, code in zip(names, told, strict=True) if code}
        found[int(tag, 16)] = ProfileRow(int(tag, 16), keyword, basic, options)
    return found


def check_options(options: Collection[str]) -> tuple[Option, ...]:
    """The options in the order of the table.

    Raises:
        InputError: ``bad_request`` for an unknown one, or dates that are both kept and shifted.
    """
    if unknown := [each for each in options if each not in OPTIONS]:
        raise InputError("bad_request", f"no option {unknown[0]!r}.", f"Options: {', '.join(OPTIONS)}.")
    if {"full_dates", "shifted_dates"} <= set(options):
        raise InputError("bad_request", "dates are either kept or shifted.", "Choose full_dates or shifted_dates.")
    return tuple(each for each in OPTIONS if each in options)


def deed(rule: ProfileRow, vr: str, options: Collection[str]) -> Deed:
    """What is done with an attribute of the table that has this value representation."""
    for option in options:
        told = rule.options.get(option)
        if told == "K":
            return "keep"
        if told == "C":
            if option == "shifted_dates":
                return "shift" if vr != "TM" else "keep"
            return "recurse" if vr == "SQ" else "clean"
    if vr == "SQ":
        return "recurse" if rule.keyword in _WITHIN or "X/Z" in rule.basic else "remove"
    if "U" in rule.basic:
        return "uid"
    if "D" in rule.basic:  # a dummy is right whether the attribute may be empty or not
        return "dummy"
    return "empty" if "Z" in rule.basic else "remove"


def explain_profile(options: Collection[str] = DEFAULT) -> list[dict[str, str]]:
    """The table as it is applied: tag, keyword, what the Basic Profile says, which option changes it, what is done."""
    from pydicom.datadict import dictionary_VR

    chosen = check_options(options)
    shown = []
    for rule in rules().values():
        try:
            vr = dictionary_VR(rule.tag)
        except KeyError:  # newer than the dictionary at hand
            vr = "LO"
        option = next((each for each in chosen if each in rule.options), "")
        shown.append(
            {"tag": f"({rule.tag >> 16:04X},{rule.tag & 0xFFFF:04X})", "keyword": rule.keyword, "basic": rule.basic,
             "option": option, "action": deed(rule, vr, chosen)}
        )  # fmt: skip
    return [*shown, *_BEYOND]


_BEYOND = [
    {"tag": tag, "keyword": words, "basic": basic, "option": "", "action": action}
    for tag, words, basic, action in (
        ("(gggg,eeee), gggg odd", "private attributes", "X", "remove"),
        ("(50xx,eeee)", "curves", "X", "remove"),
        ("(60xx,eeee)", "overlays", "X", "remove"),
        ("any UI", "UIDs not of the Standard, outside the table", "–", "uid"),
        ("any DA, DT", "dates outside the table", "–", "shift"),
        ("any PN", "names of persons outside the table", "–", "empty"),
        ("any text", "names and numbers of this patient outside the table", "–", "clean"),
        ("any LT, ST, UT, UC, UR, UN", "free text outside the table", "–", "remove"),
    )
]
