"""Evidence: where in the image and which words, for the named label, on the deployed forward; how far to trust it."""

from lingula.explanation.methods import DEPLOYED, METHODS, QUICK, explain, installed_methods
from lingula.explanation.trust import shown_methods, trust_of

__all__ = ["DEPLOYED", "METHODS", "QUICK", "explain", "installed_methods", "shown_methods", "trust_of"]
