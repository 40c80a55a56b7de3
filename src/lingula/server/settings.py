"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lingula.openi.fetch import NLM_URL
from lingula.reading.limits import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with.

    Attributes:
        hosts: names under which it may be asked, without port; any other ``Host`` is refused (DNS rebinding).
        token: what a request must bring; empty only on loopback.
        folder_imports: whether a folder of this machine may be imported by its path.
        audit_days: for how long the trail of who did what is kept.
        collection_url: where the Open-i collection is downloaded from.
        evaluation: folder that ``lingula evaluate`` wrote for the checkpoint, shown on the page of the model.
        waiting: requests that may wait for the model; one more is answered 503.
        cases, case_bytes: how many uploaded studies are kept, and how much of their pixels; the oldest goes first.
        header_seconds: within which a request's headers must have come.
        idle_seconds: most between two parts of a request's body, and until a client takes a part of an answer.
        body_rate: bytes a second that a body must come with after its first ``idle_seconds``.
        limits: of uploads.
    """

    hosts: tuple[str, ...] = LOOPBACK
    token: str = field(default="", repr=False)
    folder_imports: bool = True
    audit_days: float = 400.0
    collection_url: str = NLM_URL
    evaluation: Path | None = None
    waiting: int = 16
    cases: int = 64
    case_bytes: int = 512 << 20
    header_seconds: float = 10.0
    idle_seconds: float = 20.0
    body_rate: float = 16_384.0
    limits: Limits = field(default_factory=Limits)
