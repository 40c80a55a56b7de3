"""Films and reports without their patients: the header by PS3.15 annex E, text in pictures, names in words."""

from lingula.deidentification.files import DeidentificationReport, deidentify
from lingula.deidentification.profile import Option, explain_profile

__all__ = ["DeidentificationReport", "Option", "deidentify", "explain_profile"]
