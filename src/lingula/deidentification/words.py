"""Names, numbers, dates and addresses in words: those a header names, and those that a text gives away by its form."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[removed]"
_LEAST = 3
"""Letters of a name below which it is not looked for by itself: it would be found within ordinary words."""
_TITLES = r"(?:Dr|Doctor|Mr|Mrs|Ms|Miss|Prof|Professor|Nurse)\b\.?"
_CALLED = r"[A-Z][A-Za-zÀ-ÿ'’-]+"
_MONTHS = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_FORMS = tuple(
    re.compile(form, flags)
    for form, flags in (
        (rf"(?:{_TITLES}\s*)(?:{_CALLED}|[A-Z]\.)(?:\s+(?:{_CALLED}|[A-Z]\.)){{0,2}}", 0),
        (rf"\b{_CALLED}(?:\s+[A-Z]\.)?\s+{_CALLED},?\s+(?:M\.?D|D\.?O|Ph\.?D|R\.?N)\b\.?", 0),
        (r"(?<=[Pp]atient: )[^\n.;]+|(?<=[Nn]ame: )[^\n.;]+|(?<=[Aa]ddress: )[^\n;]+|(?<=[Ss]igned by )[^\n.;]+", 0),
        (r"(?<=dictated by )[^\n.;]+|(?<=reviewed by )[^\n.;]+|(?<=discussed with )[^\n.;]+", re.IGNORECASE),
        (r"\b(?:MRN|SSN|DOB|accession|acc|patient id|id|record)\b\s*(?:no|number|#)?\.?\s*[:#]?\s*"
         r"[A-Z0-9-]*\d[A-Z0-9/-]*", re.IGNORECASE),
        (r"\b\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}\b", 0),
        (rf"\b\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTHS}\.?,?\s+\d{{4}}\b|\b{_MONTHS}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}\b",
         re.IGNORECASE),
        (r"\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b|\+\d[\d ().-]{7,}\d", 0),
        (r"\b[\w.+-]+@[\w-]+\.[\w.]+\b|https?://\S+|\bwww\.\S+", 0),
        (r"\b\d{1,5}\s+[A-Z][a-z]+(?:\s[A-Z][a-z]+)?\s+"
         r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd)\b\.?", 0),
        (r"\b\d{6,}\b|\b[A-Z]{1,4}-?\d{5,}\b", 0),
    )
)  # fmt: skip


class Names:
    """What a header says of a person, to be found in words.

    Args:
        values: names (``Doe^Jane``), numbers, places, as the header has them.
    """

    def __init__(self, values: Iterable[str]) -> None:
        parts: set[str] = set()
        for value in values:
            whole = value.strip()
            parts |= {whole, whole.replace("^", " ").strip(), *re.split(r"[\^=,\\\s]+", whole)}
        kept = sorted((part for part in parts if len(part) >= _LEAST and not part.isspace()), key=len, reverse=True)
        listed = "|".join(re.escape(part) for part in kept)
        self._form = re.compile(rf"(?<!\w)(?:{listed})(?!\w)", re.IGNORECASE) if kept else None

    def cleaned(self, text: str, *, forms: bool = True) -> tuple[str, int]:
        """The text with a mask for each, and how many there were.

        Args:
            forms: also mask what looks like a person, a number, a date or an address; for prose, not for codes.
        """
        count = 0
        for form in (*((self._form,) if self._form else ()), *(_FORMS if forms else ())):
            text, found = form.subn(MASK, text)
            count += found
        return text, count
