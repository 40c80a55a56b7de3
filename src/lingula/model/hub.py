"""Checkpoints on the Hugging Face Hub: fetched at a revision and verified as any folder is, saved, published.

Only the files of a checkpoint are fetched; no code of a repository is run and nothing is unpickled. ``HF_HUB_OFFLINE``
and the token and endpoint settings of ``huggingface_hub`` hold.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any
from weakref import finalize

from lingula import __version__
from lingula.errors import InputError
from lingula.model.checkpoint import SHIPPED, Checkpoint, load_checkpoint
from lingula.optional import optional
from lingula.types import Device, FilePath

CONFIG = "config.json"
CARD = "README.md"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_LOG = logging.getLogger(__name__)


def from_pretrained(
    source: FilePath, *, revision: str | None = None, cache_dir: FilePath | None = None, device: Device = "auto"
) -> Checkpoint:
    """A checkpoint from a folder, by a shipped name, or from a repository of the Hub.

    Args:
        source: a folder, ``compact``, or ``user/name``.
        revision: commit, tag or branch of the repository; a commit names the same files for ever.
        cache_dir: where ``huggingface_hub`` keeps what it fetched; by default its own.
        device: as for ``load_checkpoint``.

    Returns:
        The checkpoint, its manifest and golden output verified as for any folder.

    Raises:
        InputError: ``bad_request`` without the package huggingface_hub, or for a revision of a folder; ``not_found``
            where the repository cannot be had.
        ModelError: as ``load_checkpoint``.
    """
    name = os.fspath(source)
    if name in SHIPPED or Path(name).is_dir() or not _REPOSITORY.fullmatch(name):
        if revision is not None:
            raise InputError("bad_request", f"{name} is a folder, which has no revision.", "Name a repository.")
        return load_checkpoint(name, device=device)
    fetched = _fetched(name, revision, cache_dir)
    _LOG.info("%s at %s", name, fetched.name)
    held = tempfile.mkdtemp(prefix="lingula-")
    try:
        folder = Path(held, "checkpoint")
        shutil.copytree(fetched, folder)  # the cache holds links, which a checkpoint may not
        found = load_checkpoint(folder, device=device)
    except BaseException:
        shutil.rmtree(held, ignore_errors=True)
        raise
    finalize(found.model, shutil.rmtree, held, ignore_errors=True)  # its parts are read when they are first asked for
    return found


def save_pretrained(checkpoint: Checkpoint, folder: FilePath) -> Checkpoint:
    """Save a checkpoint as the Hub wants it: with a ``config.json`` that names its kind, and a card.

    A card that is there is left: ``lingula card`` writes one with the figures of an evaluation.

    Returns:
        The checkpoint as it lies there.
    """
    folder = Path(folder)
    saved = checkpoint.save(folder)
    (folder / CONFIG).write_text(json.dumps(config_of(saved), indent=1) + "\n")
    if not (folder / CARD).exists():
        (folder / CARD).write_text(card_of(saved))
    return load_checkpoint(folder)


def push_to_hub(
    checkpoint: Checkpoint, repository: str, *, private: bool = True, card: FilePath | None = None, message: str = ""
) -> str:
    """Publish a checkpoint as ``user/name``, by default for its owner's eyes alone.

    Args:
        card: a model card to publish with it, as ``lingula card`` writes.
        message: of the commit.

    Returns:
        The commit, to be given as ``revision``.

    Raises:
        InputError: ``bad_request`` without the package, or another form of name; ``not_found`` where the Hub refuses.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise InputError("bad_request", f"{repository!r} is no repository.", "Name it user/name.")
    hub = _hub()
    with tempfile.TemporaryDirectory(prefix="lingula-") as held:
        folder = Path(held, "checkpoint")
        folder.mkdir()
        if card is not None:
            shutil.copyfile(card, folder / CARD)
        saved = save_pretrained(checkpoint, folder)
        try:
            api = hub.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message=message or f"Checkpoint {saved.fingerprint}"
            )
        except (hub.errors.HfHubHTTPError, OSError) as error:
            hint = "Log in: hf auth login"
            raise InputError("not_found", f"{repository} cannot be written: {_first(error)}", hint) from error
    return str(commit.oid)


def config_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What ``config.json`` says: the kind of model, the versions, and where the rest stands."""
    architecture = checkpoint.model.architecture
    return {
        "model_type": "lingula",
        "lingula_version": __version__,
        "fingerprint": checkpoint.fingerprint,
        "image_model_type": architecture.image.get("model_type"),
        "text_model_type": architecture.text.get("model_type"),
        "dimension": architecture.dimension,
        "image_size": architecture.preprocessing.size,
        "id2label": dict(enumerate(checkpoint.vocabulary.codes)),
    }


def card_of(checkpoint: Checkpoint) -> str:
    """A card that says what is known without an evaluation."""
    training = checkpoint.training
    collection = training.get("collection") or {}
    started = [str(source) for source in (training.get("started_from") or {}).values() if "/" in str(source)]
    base = f"base_model: {json.dumps(started)}\n" if started else ""
    return (
        "---\n"
        "library_name: lingula\n"
        "license: other\n"
        "license_name: education-and-research-only\n"
        "tags: [chest-x-ray, radiology, image-retrieval, not-for-diagnosis]\n"
        f"datasets: {json.dumps([collection['name']] if collection.get('name') else [])}\n"
        f"{base}"
        "---\n\n"
        f"# lingula checkpoint {checkpoint.fingerprint}\n\n"
        "For education and research. Not for diagnostic use.\n\n"
        f"{len(checkpoint.vocabulary)} labels; trained on: {training.get('data', 'not recorded')}. "
        "Not evaluated here: `lingula card` writes the card of an evaluation.\n\n"
        "```python\nimport lingula\n\n"
        'model = lingula.Checkpoint.from_pretrained("USER/NAME", revision="COMMIT")\n```\n'
    )


def _fetched(repository: str, revision: str | None, cache_dir: FilePath | None) -> Path:
    """The folder of a repository's checkpoint in the cache of huggingface_hub, named after its commit."""
    from lingula.model.checkpoint_bounds import MOST_BYTES

    hub = _hub()
    try:
        found = hub.snapshot_download(
            repository, revision=revision, cache_dir=cache_dir, allow_patterns=sorted(MOST_BYTES)
        )
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        at = f" at {revision}" if revision else ""
        fetch = f"hf download {repository}" + (f" --revision {revision}" if revision else "")
        hint = f"Where there is a connection: {fetch}. Then it is found with HF_HUB_OFFLINE=1, too."
        raise InputError("not_found", f"{repository}{at} cannot be fetched: {_first(error)}", hint) from error
    return Path(found)


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _hub() -> Any:
    optional("huggingface_hub.errors", "hub", "The Hub")
    return optional("huggingface_hub", "hub", "The Hub")
