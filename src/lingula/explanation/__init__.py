"""Evidence: where in the image and which words, for the named label, on the deployed forward; how far to trust it."""

from lingula.explanation.methods import METHODS, QUICK, explain
from lingula.explanation.trust import shown_methods, trust_of

__all__ = ["METHODS", "QUICK", "explain", "shown_methods", "trust_of"]
