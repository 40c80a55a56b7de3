"""Static files of the pages: one script and one style sheet, named after their content, to be kept for ever.

The script is the modules of ``static/`` put one after the other, each in a function of its own: no build step, and one
request instead of one a module.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from lingula.errors import ServerError
from lingula.page.render import style_sheet

_IMPORT = re.compile(r'^import (?:\* as (?P<all>\w+)|\{(?P<names>[^}]*)\}) from "\./(?P<module>[\w-]+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (?P<name>\w+))", re.M)
KEPT = "public, max-age=31536000, immutable"
"""For an address that holds the hash of what is there."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent.

    Attributes:
        name: "app-1f2e3d4c5b6a.js"; the hash is of ``body``.
    """

    name: str
    kind: str
    body: bytes = field(repr=False)
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, stem: str, ending: str, kind: str, text: str) -> Asset:
        body = text.encode()
        digest = hashlib.sha256(body).hexdigest()[:12]
        return cls(f"{stem}-{digest}.{ending}", kind, body, gzip.compress(body, 9, mtime=0))


@cache
def assets() -> dict[str, Asset]:
    """By the name templates use: "app.js", "learn.js", "login.js", "style.css", "learn.css"."""
    style = style_sheet() + _text("app.css")
    made = {f"{stem}.js": Asset.of(stem, "js", "text/javascript", joined(stem)) for stem in ("app", "learn", "login")}
    return {
        **made,
        "style.css": Asset.of("style", "css", "text/css", style),
        "learn.css": Asset.of("learn", "css", "text/css", style + _text("learn.css")),
    }


def asset_url(name: str) -> str:
    """Where a page finds a file."""
    return f"/static/{assets()[name].name}"


def send(request: Request, name: str) -> Response:
    """The file of that name.

    Raises:
        ServerError: ``page_unknown``.
    """
    known = next((asset for asset in assets().values() if asset.name == name), None)
    if known is None:
        raise ServerError("page_unknown", "There is nothing at this address.")
    return packed(request, known.body, known.kind, packed_body=known.packed, headers={"cache-control": KEPT})


def packed(
    request: Request, body: bytes, kind: str, *, packed_body: bytes | None = None, status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    """An answer, compressed for whoever takes it so."""
    sent = {"vary": "accept-encoding", **(headers or {})}
    if "gzip" in request.headers.get("accept-encoding", "") and len(body) > 1024:
        body = packed_body if packed_body is not None else gzip.compress(body, 5)
        sent["content-encoding"] = "gzip"
    return Response(body, status, sent, media_type=f"{kind}; charset=utf-8")


def joined(entry: str) -> str:
    """A module and all it imports as one script.

    Raises:
        ValueError: for modules that import each other.
    """
    pieces = [_wrapped(name) for name in _ordered(entry, ())]
    return "".join(pieces)


def _ordered(name: str, above: tuple[str, ...]) -> Iterator[str]:
    """Each module after those it imports, once."""
    if name in above:
        raise ValueError(f"{name}.js imports itself by way of {', '.join(above)}")
    seen: dict[str, None] = {}
    for found in _IMPORT.finditer(_text(f"{name}.js")):
        seen |= dict.fromkeys(_ordered(found["module"], (*above, name)))
    yield from (*seen, name)


def _wrapped(name: str) -> str:
    """The module as a constant that holds what it exports."""
    text = _text(f"{name}.js")
    exported = [found["name"] for found in _EXPORT.finditer(text)]

    def taken(found: re.Match[str]) -> str:
        module = _constant(found["module"])
        if found["all"]:
            return f"const {found['all']} = {module};\n"
        return f"const {{{found['names'].replace(' as ', ': ')}}} = {module};\n"

    body = _EXPORT.sub("", _IMPORT.sub(taken, text))
    return f"const {_constant(name)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _constant(name: str) -> str:
    return "module_" + name.replace("-", "_")


def _text(name: str) -> str:
    return files("lingula.server").joinpath("static", name).read_text(encoding="utf-8")
