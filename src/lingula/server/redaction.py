"""What an error may say to whoever asks: no path of this machine, and nothing that cannot be sent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lingula.errors import LingulaError

_PATH = re.compile(r"(?<![\w.:/<])(?:/[^\s/'\"]+(?:/[^\s'\"]*)+|[A-Za-z]:[\\/][^\s'\"]*|\\\\[^\s'\"]+)")


def without_paths(text: str, known: Iterable[str] = ()) -> str:
    """The text with "…" for absolute paths: those ``known``, which may hold spaces, and what looks like one."""
    for place in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(place, "…")
    return _PATH.sub("…", text).encode("utf-8", "replace").decode()


def redacted(error: LingulaError, known: Iterable[str] = ()) -> LingulaError:
    """The same refusal, to be sent to whoever asked."""
    known = tuple(known)
    return LingulaError(error.code, without_paths(error.message, known), without_paths(error.hint, known))
