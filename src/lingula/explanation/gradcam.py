"""Grad-CAM (Selvaraju et al. 2017) on the patch grid the fusion reads, through Captum."""

from __future__ import annotations

from captum.attr import LayerGradCam
from torch import Tensor

from lingula.explanation.target import Target


def gradcam(question: Target) -> Tensor:
    """(N, grid, grid), non-negative: positive part of the channels weighted by their mean gradient, for each film."""
    words = question.words
    method = LayerGradCam(lambda pixels: question.logit(pixels, words), question.checkpoint.model.image_encoder.patches)
    maps: Tensor = method.attribute(question.pixels, relu_attributions=True)  # (N, 1, grid, grid)
    return maps.detach()[:, 0]
