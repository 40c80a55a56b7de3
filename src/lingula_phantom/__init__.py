"""Phantom studies: drawn chest radiographs and written reports, for demonstrations and tests that need no download.

The pictures are line integrals through a made-up chest; the reports say what was drawn. Nothing here is clinical.
"""

from lingula_phantom.case import PhantomCase, draw_frontal, draw_lateral, sample_case
from lingula_phantom.findings import KINDS, PhantomFinding
from lingula_phantom.write import generate, make_case

__all__ = [
    "KINDS",
    "PhantomCase",
    "PhantomFinding",
    "draw_frontal",
    "draw_lateral",
    "generate",
    "make_case",
    "sample_case",
]
