"""Evidence: where in the image and which words, for the named label, on the deployed forward; how far to trust it."""

from lingula.explanation.methods import DEPLOYED, METHODS, QUICK, explain, installed_methods, withheld
from lingula.explanation.trust import pointing_of, shown_methods, trust_of
from lingula.explanation.typical_place import TYPICAL_PLACE

__all__ = [
    "DEPLOYED",
    "METHODS",
    "QUICK",
    "TYPICAL_PLACE",
    "explain",
    "installed_methods",
    "pointing_of",
    "shown_methods",
    "trust_of",
    "withheld",
]
