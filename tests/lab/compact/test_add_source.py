"""Labels of another source in closed form: what is learnt, what is kept, and that the fold is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tests import made_up

from lingula.model.batch import batch_studies
from lingula.openi.splits import Split
from lingula.study import Study
from lingula_lab.compact.add_source import FilmSource, apply_correction, centres_of, fit_correction
from lingula_lab.compact.with_source import with_source
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.checkpoint import trained_model
from lingula_lab.model.study_model import TensorBatch


def test_another_source_is_learnt_and_the_own_films_stay() -> None:
    """The own films vary in channels 0 to 3, the other source's label lies in channel 5, which they hardly use."""
    random = torch.Generator().manual_seed(0)
    own = torch.randn(300, 8, generator=random) * torch.tensor([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    theirs = torch.randn(200, 8, generator=random)
    goal = (theirs[:, 5] > 0).float()[:, None]
    source = FilmSource(theirs, torch.zeros(200, dtype=torch.long), torch.zeros(200, 1), goal)
    views = torch.zeros(300, dtype=torch.long)
    loose, tight = (fit_correction(own, views, source, loyalty=loyal, strength=1.0) for loyal in (0.01, 1e4))
    right = ((theirs - theirs.mean(0)) @ loose)[:, 0] > 0
    assert (right == (goal[:, 0] > 0)).float().mean() > 0.9
    assert (own @ tight).abs().max() < 0.05 * (own @ loose).abs().max()


def test_the_fold_moves_the_logits_by_what_the_head_can_say(tmp_path: Path) -> None:
    checkpoint = made_up.checkpoint(tmp_path / "tiny")
    model = trained_model(checkpoint)
    films = [made_up.film(number) for number in range(4)]
    studies = [Study(film.image_id, (film,)) for film in films]
    batch = TensorBatch.of(batch_studies(studies, model.architecture.preprocessing, checkpoint.tokenizer))
    with torch.no_grad():
        features = model.image_encoder.features(batch.pixels).mean((2, 3))
        tokens = (model.image_encoder(batch.pixels) + model.view_embedding(batch.views)[:, None]).mean(1)
        before = model.head(model.image_projector(tokens))
        correction = torch.randn(features.shape[1], 22, generator=torch.Generator().manual_seed(1))
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        centres = centres_of(features, batch.views)
        try:
            apply_correction(model, correction, torch.full((22,), 2.0), centres)
            tokens = (model.image_encoder(batch.pixels) + model.view_embedding(batch.views)[:, None]).mean(1)
            after = model.head(model.image_projector(tokens))
        finally:
            model.load_state_dict(kept)
    read = model.head.weight @ model.image_projector.weight
    expected = (features - centres[batch.views]) @ correction / 2
    expected = expected @ torch.linalg.pinv(read).T @ read.T  # what a head of few dimensions can say of it
    torch.testing.assert_close(after - before, expected, atol=1e-2, rtol=1e-3)


def test_a_checkpoint_learns_from_a_folder_of_films(data: StudySet, tmp_path: Path) -> None:
    checkpoint = made_up.checkpoint(tmp_path / "tiny")
    rows = ["path,source,view,patient_id,labels"]
    for number in range(16):
        film = made_up.film(number, bright=number % 2 == 0)
        Image.fromarray((film.pixels * 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,nih14,PA,{number},{'No Finding' if number % 2 else 'Effusion'}")
    (tmp_path / "films.csv").write_text("\n".join(rows) + "\n")
    split = Split("made up", 0, data.ids[:20], data.ids[20:28], data.ids[28:])
    made = with_source(checkpoint, data, split, tmp_path, tmp_path / "out")
    assert made.fingerprint != checkpoint.fingerprint
    assert made.training["added"] == {"source": "nih14", "films": 16}
    before, after = (trained_model(each).state_dict() for each in (checkpoint, made))
    changed = {name for name, value in before.items() if not torch.allclose(value, after[name], atol=1e-3)}
    assert changed <= {"image_encoder.to_width.weight", "view_embedding.weight"}
    assert "image_encoder.to_width.weight" in changed
