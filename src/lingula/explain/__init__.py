"""Evidence: where in the image and which words, on the deployed forward, for the named label."""

from lingula.explain.methods import METHODS, explain

__all__ = ["METHODS", "explain"]
