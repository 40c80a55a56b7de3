"""Grad-CAM (Selvaraju et al. 2017) on the patch grid the fusion reads, through Captum."""

from __future__ import annotations

import numpy as np
from captum.attr import LayerGradCam

from lingula.explanation.target import Floats, Target
from lingula_lab.explanation.gradient_target import GradientTarget


def gradcam(target: Target) -> tuple[Floats, None, None]:
    """(N, grid, grid), non-negative: positive part of the channels weighted by their mean gradient, for each film."""
    question = GradientTarget.of(target)
    words = question.words
    method = LayerGradCam(lambda pixels: question.logit(pixels, words), question.model.image_encoder.patches)
    maps = method.attribute(question.pixels, relu_attributions=True)  # (N, 1, grid, grid)
    return np.asarray(maps.detach()[:, 0].numpy(), np.float32), None, None
