"""How the page describes each explanation method, in words a student understands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """A method's name and one sentence on what its map and its word scores mean."""

    code: str
    name: str
    sentence: str
    unit: str


_METHODS = (
    Method(
        "contribution",
        "Contributions",
        "What each place and word adds to the score of this finding by the model's own sums: orange raises it, blue "
        "lowers it, against what films usually show at that place. Exact, and as coarse as the model's patches.",
        "contribution to the score (logit)",
    ),
    Method(
        "attention",
        "Attention",
        "Strong where the model looked while it put film and text together. Looking at a spot is not the same as "
        "deciding by it.",
        "attention weight",
    ),
    Method(
        "gradcam",
        "Grad-CAM",
        "Strong where a larger response of the image network would raise the score of this finding. It is coarse by "
        "nature: read it as a region, not as an outline.",
        "relevance",
    ),
    Method(
        "integrated_gradients",
        "Integrated Gradients",
        "Orange raised the score of this finding, blue lowered it, each compared with a blurred film or an empty text. "
        "All contributions together add up to the change in the score.",
        "contribution to the score (logit)",
    ),
    Method(
        "occlusion",
        "Occlusion",
        "Orange where blurring a square of the film lowers the score of this finding, blue where it raises it. "
        "What two places say together it cannot tell apart.",
        "fall of the score (logit)",
    ),
    Method(
        "typical_place",
        "Typical place",
        "Where radiologists drew boxes of this finding on other films. It is the same for every film: the model says "
        "nothing here, and this film was not looked at.",
        "share of films whose box lies there",
    ),
)


def method(code: str) -> Method:
    """The method by its code; a method without a description is named by its code."""
    return next((known for known in _METHODS if known.code == code), Method(code, code.replace("_", " "), "", "score"))


def in_order(codes: set[str]) -> list[str]:
    """The page's own order, unknown methods last."""
    known = [known.code for known in _METHODS]
    return sorted(codes, key=lambda code: (known.index(code) if code in known else len(known), code))
