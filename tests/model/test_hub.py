"""Checkpoints of the Hub: what lies in its cache is loaded at its revision and verified; what is published can be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import made_up

from lingula.errors import InputError, ModelError
from lingula.model import hub
from lingula.model.checkpoint import Checkpoint

huggingface_hub = pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    hub.save_pretrained(made_up.checkpoint(folder), folder)
    return folder


@pytest.fixture
def cache(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as huggingface_hub keeps it, links and all, and no connection."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    home = tmp_path / "cache" / "models--somebody--tiny"
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    (home / "blobs").mkdir()
    for file in saved.iterdir():
        shutil.copyfile(file, home / "blobs" / file.name)
        (snapshot / file.name).symlink_to(home / "blobs" / file.name)
    return tmp_path / "cache"


def test_a_saved_checkpoint_says_what_it_is_and_loads_as_any(saved: Path) -> None:
    told = json.loads((saved / "config.json").read_text())
    made = Checkpoint.from_pretrained(saved)
    assert told["model_type"] == "lingula"
    assert told["fingerprint"] == made.fingerprint
    assert list(told["id2label"].values()) == list(made.vocabulary.codes)
    assert (saved / "README.md").read_text().startswith("---\nlibrary_name: lingula\n")


def test_a_repository_is_loaded_from_the_cache_without_a_connection(cache: Path, saved: Path) -> None:
    wanted = Checkpoint.from_pretrained(saved).fingerprint
    assert Checkpoint.from_pretrained("somebody/tiny", cache_dir=cache).fingerprint == wanted
    assert Checkpoint.from_pretrained("somebody/tiny", revision=COMMIT, cache_dir=cache).fingerprint == wanted


def test_what_is_not_at_hand_is_named_with_the_command_that_fetches_it(cache: Path) -> None:
    with pytest.raises(InputError) as refused:
        Checkpoint.from_pretrained("somebody/other", revision="v2", cache_dir=cache)
    assert refused.value.code == "not_found"
    assert "hf download somebody/other --revision v2" in refused.value.hint
    with pytest.raises(InputError, match="no revision"):
        Checkpoint.from_pretrained("compact", revision="v2")


def test_an_altered_file_or_code_beside_it_is_refused(cache: Path) -> None:
    blobs = cache / "models--somebody--tiny" / "blobs"
    body = json.loads((blobs / "model.json").read_text())
    (blobs / "model.json").write_text(json.dumps(body))
    with pytest.raises(ModelError) as refused:
        Checkpoint.from_pretrained("somebody/tiny", cache_dir=cache)
    assert refused.value.code == "model_checksum_mismatch"


def test_publishing_sends_a_whole_checkpoint_and_returns_the_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}

    class Recorder:
        def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
            sent["private"] = private

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
            shutil.copytree(folder_path, tmp_path / "sent")
            return SimpleNamespace(oid=COMMIT)

    monkeypatch.setattr(huggingface_hub, "HfApi", Recorder)
    card = tmp_path / "card.md"
    card.write_text("---\nmodel-index: []\n---\n")
    made = Checkpoint.from_pretrained(saved)
    assert made.push_to_hub("somebody/tiny", card=card) == COMMIT
    assert sent["private"] is True
    assert (tmp_path / "sent" / "README.md").read_text() == card.read_text()
    assert Checkpoint.from_pretrained(tmp_path / "sent").fingerprint == made.fingerprint
    with pytest.raises(InputError, match="no repository"):
        made.push_to_hub("tiny")
