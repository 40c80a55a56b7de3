"""Made-up studies and a tiny model of them: small enough to encode and train in a test."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from lingula.labels.vocabulary import Vocabulary
from lingula.model.architecture import Architecture
from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint
from lingula.model.tokenizer import ReportTokenizer
from lingula.study import MODES, Radiograph, Report, Study, View
from lingula_lab.model.checkpoint import save_checkpoint, trained_checkpoint
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.fit import Preset

SENTENCES = {
    "Cardiomegaly": ("The cardiac shadow is wide.", "Big heart."),
    "Pleural Effusion/left": ("Fluid blunts the left angle.", "Effusion on the left."),
    "Spine/degenerative": ("Spurs along the thoracic spine.", "Worn spine."),
}
NORMAL = ("Clear on both sides, the heart is slim.", "No acute finding.")


def film(number: int, shape: tuple[int, int] = (96, 80), view: View = "frontal", bright: bool = False) -> Radiograph:
    """Noise around a soft slope, and a bright lower corner where ``bright``."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    pixels = 0.2 + 0.4 * columns + 0.1 * rows + 0.05 * random.standard_normal(shape)
    if bright:
        pixels[2 * shape[0] // 3 :, shape[1] // 2 :] += 0.3
    return Radiograph(f"film{number}", np.clip(pixels, 0, 1).astype(np.float32), view)


def study(number: int) -> Study:
    """One of a series: every finding of ``SENTENCES`` comes and goes with its own period, every third has a lateral."""
    terms = tuple(term for period, term in enumerate(SENTENCES, 2) if number % period == 0)
    said = [SENTENCES[term] for term in terms] or [NORMAL]
    findings = " ".join(one for one, _ in said) + f" Seen at level {number % 9}."
    report = Report.from_sections(
        findings=findings, impression=" ".join(short for _, short in said), indication="Cough."
    )
    films = [film(number, bright="Pleural Effusion/left" in terms)]
    if number % 3 == 0:
        films.append(film(1000 + number, (64, 90), "lateral"))
    return Study(f"S{number}", tuple(films), report, terms or ("normal",))


def studies(count: int) -> tuple[Study, ...]:
    return tuple(study(number) for number in range(count))


def vocabulary() -> Vocabulary:
    return Vocabulary.load("openi22")


def preset() -> Preset:
    return Preset.load("tiny")


def architecture() -> Architecture:
    return Architecture.from_json({**preset().architecture, "labels": len(vocabulary())})


@cache
def tokenizer() -> ReportTokenizer:
    a = architecture()
    texts = [one.report.text for one in studies(60) if one.report]
    return ReportTokenizer.train(texts, sections=a.sections, length=a.tokens, vocabulary=a.text["vocab_size"])


def published_trunk(config: dict[str, Any], path: Path) -> Path:
    """Random weights in the layout of a published MobileNetV1, for a backbone of this configuration."""
    torch.manual_seed(3)
    encoder = ImageEncoder(config, 16, grid=4, fold=True)
    tensors = {}
    for i, layer in enumerate((encoder.backbone.conv_stem, *encoder.backbone.layer)):
        weight = torch.nn.init.kaiming_normal_(layer.convolution.weight, nonlinearity="relu").detach()
        weight = weight.repeat(1, 3, 1, 1) / 3 if i == 0 else weight  # published trunks read RGB
        tensors |= {f"features.{i}.weight": weight, f"features.{i}.bias": layer.convolution.bias.detach().clone()}
    save_file(tensors, path)
    return path


MOBILE = {"model_type": "mobilenet_v1", "num_channels": 1, "image_size": 64, "depth_multiplier": 0.25}


def folded_mobilenet() -> StudyModel:
    """A model whose trunk is a quarter of a MobileNetV1, folded."""
    return model(image=MOBILE, levels=(13, 17, 21, 25), fold=True)


def report_states() -> torch.Tensor:
    """(32, 16): what thirty-two reports say, but for the fourth, which is not there."""
    states = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    states[3] = torch.nan
    return states


def model(seed: int = 0, **changes: object) -> StudyModel:
    """Weights at random, all of them: what starts at zero (adapters, gates) would hide mistakes."""
    torch.manual_seed(seed)
    made = StudyModel(replace(architecture(), **changes))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def checkpoint(folder: Path, seed: int = 0) -> Checkpoint:
    """A saved checkpoint of random weights."""
    return save_checkpoint(trained(model(seed)), folder)


def trained(made: StudyModel) -> Checkpoint:
    """A checkpoint in memory, of any model."""
    calibration = {mode: Calibration.identity(len(vocabulary())) for mode in MODES}
    return trained_checkpoint(made, tokenizer(), vocabulary(), calibration, {"preset": "tiny"})
