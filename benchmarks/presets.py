"""The presets that start from published backbones, at their full size with random weights: what each command takes.

    python benchmarks/presets.py [PRESET ...] [--keep FOLDER]

Nothing of a published model is needed: backbones of the preset's configuration are drawn and saved as ``transformers``
saves a published one, with the tokenizer of ``compact``, and named by ``--image`` and ``--text`` as a user names his
own. On 72 phantom studies a preset is prepared, trained for one epoch a stage (two steps of eight studies), predicts,
explains by contributions and Grad-CAM, and is evaluated, each by its command. Told are seconds, processor seconds and
the peak of memory of each command with its children, and the size of the checkpoint. What the models answer means
nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from light import ROOT, command, python
from lingula.openi.splits import Split
from machine import write_result

PRESETS = ("swin-clinicalbert", "medclip", "rad-dino")
STUDIES, BATCH = 72, 8
TRAIN, VALIDATION = 16, 16
"""Studies to train and to validate with; the others test: ``lingula evaluate`` wants ten with a label among them."""
_BACKBONES = """
import sys
from pathlib import Path
import torch
from transformers import PreTrainedTokenizerFast
from lingula.model.checkpoint import load_checkpoint
from lingula_lab.model.text_encoder import build_backbone
from lingula_lab.training.fit import Preset
preset, folder = Preset.load(sys.argv[1]), Path(sys.argv[2])
torch.manual_seed(0)
for side in preset.start:
    build_backbone(preset.architecture[side]).save_pretrained(folder / side)
    print(f"--{side}")
    print(folder / side)
if "text" in preset.start:
    words = load_checkpoint("compact").tokenizer._tokenizer
    named = {f"{kind}_token": token for kind, token in (("cls", "[CLS]"), ("sep", "[SEP]"), ("pad", "[PAD]"))}
    PreTrainedTokenizerFast(tokenizer_object=words, **named).save_pretrained(folder / "text")
"""


def run(folder: Path, preset: str) -> dict[str, Any]:
    """Every command of one preset; those done in an earlier run are not repeated."""
    told = folder / f"{preset}.json"
    if told.exists():
        done: dict[str, Any] = json.loads(told.read_text())
        return done
    phantom, split, model, studies = (folder / name for name in ("phantom", "split.json", preset, f"{preset}-studies"))
    if not split.exists():
        command(ROOT, "phantom", str(phantom), "--studies", str(STUDIES))
        command(ROOT, "split", str(phantom), str(split))
        dealt = Split.load(split)
        ids = (*dealt.train, *dealt.validation, *dealt.test)
        after = TRAIN + VALIDATION
        replace(dealt, train=ids[:TRAIN], validation=ids[TRAIN:after], test=ids[after:]).save(split)
    film = str(min(phantom.rglob("*.dcm")))
    line, environment = python(ROOT, "-c", _BACKBONES, preset, str(folder / f"{preset}-backbones"))
    named = subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout.split()
    places = ["--data", str(studies), "--split", str(split)]
    explain = ["explain", film, "--model", str(model), "--label", "cardiomegaly", "--anyway", "--json", "--method"]
    steps = {
        "prepare": ["prepare", str(phantom), str(studies), "--preset", preset],
        "train": ["train", str(studies), str(model), "--preset", preset, "--split", str(split), *named,
                  "--epochs", "1", "--batch", str(BATCH)],
        "predict": ["predict", film, "--model", str(model), "--anyway", "--json"],
        "contributions": [*explain, "contribution"],
        "gradcam": [*explain, "gradcam"],
        "evaluate": ["evaluate", str(model), *places, "--out", str(folder / f"{preset}-evaluation")],
    }  # fmt: skip
    figures: dict[str, Any] = {}
    for name, words in steps.items():
        found = command(ROOT, *words)
        figures[name] = {
            "seconds": round(found["seconds"], 1), "cpu_seconds": round(found["cpu_seconds"], 1),
            "peak_gb": round(found["peak_mb"] / 1000, 2),
        }  # fmt: skip
        sys.stderr.write(f"{preset} {name}: {figures[name]}\n")
    figures["checkpoint_mb"] = round(sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) / 1e6)
    told.write_text(json.dumps(figures))
    for made in (model, studies, folder / f"{preset}-backbones", folder / f"{preset}.run"):
        shutil.rmtree(made, ignore_errors=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--keep", type=Path, help="where what is done is left for the next run")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lingula") as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        figures = {preset: run(folder, preset) for preset in asked.presets}
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    if set(figures) != set(PRESETS):
        return  # a trial: not written down
    peak = {preset: each["train"]["peak_gb"] for preset, each in figures.items()}
    headline = {
        f"{preset.partition('-')[0]}_train_peak_gb": {"value": value, "unit": "GB, batch of 8", "n": 1}
        for preset, value in peak.items()
    }
    write_result("presets", {"studies": STUDIES, "seed": 0, "presets": figures}, headline)


if __name__ == "__main__":
    main()
