"""Which facts of a header may be kept and shown: an allow-list of attributes, and of what each may say.

An attribute that is harmless by its definition may hold anything in a real file: names in BodyPartExamined, a
hospital's in Manufacturer. So a value is kept only where it is one that the attribute is known to have (PS3.3 C.8.1,
PS3.16 annex L), and left out otherwise.
"""

from __future__ import annotations

import re

_PARTS = frozenset(
    {
        *("CHEST", "THORAX", "TORAX", "TORACE", "LUNG", "LUNGS", "RIB", "RIBS", "STERNUM", "HEART", "MEDIASTINUM"),
        *("PORT", "PORTABLE", "AP", "PA", "LAT", "LATERAL", "FRONTAL", "VIEW", "VIEWS", "UPRIGHT", "SUPINE", "CXR"),
    }
)
_VIEWS = frozenset({"PA", "AP", "LL", "RL", "LAT", "LATERAL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"})
_PHOTOMETRIC = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
)
_MAKERS = ("Agfa", "Canon", "Carestream", "DRGEM", "DRTECH", "Fujifilm", "Fuji", "GE", "Hologic", "iCRco", "Kodak",
           "Konica", "Lodox", "Philips", "Rayence", "Samsung", "Sedecal", "Shimadzu", "Siemens", "Swissray", "Toshiba",
           "Varian", "Vieworks")  # fmt: skip
_SPACING = re.compile(r"\d(\.\d{1,6})?([\\,] ?\d(\.\d{1,6})?)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)


def allowed(keyword: str, value: str) -> str:
    """What may be kept of an attribute's value; "" for nothing."""
    words = re.findall(r"[A-Z0-9]+", value.upper())
    match keyword:
        case "Modality":
            return value if re.fullmatch(r"[A-Z]{2}", value, re.ASCII) else ""
        case "PhotometricInterpretation":
            return value if value in _PHOTOMETRIC else ""
        case "ViewPosition":
            return value if value.upper() in _VIEWS else ""
        case "BodyPartExamined":
            return value[:64] if words and value.isascii() and _PARTS.issuperset(words) else ""
        case "Manufacturer":
            return next((maker for maker in _MAKERS if any(maker.upper() == word for word in words)), "")
        case "ImagerPixelSpacing" | "PixelSpacing":
            return value if _SPACING.fullmatch(value) else ""
    return value if _NUMBER.fullmatch(value) else ""
