"""What routes share: the service they ask, the parts of their addresses, how they answer and are described."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request
from fastapi.responses import JSONResponse, Response

from lingula.errors import ErrorAnswer
from lingula.plain import plain
from lingula.server import schema
from lingula.server.service import Service

Described = dict[int | str, dict[str, Any]]
REFUSED: Described = {
    status: {"model": schema.answer(ErrorAnswer), "description": words}
    for status, words in {
        400: "The request is not well formed.",
        401: "A token is needed.",
        403: "Another origin, another host name, or no header.",
        404: "There is no such thing.",
        405: "Not by this method.",
        409: "Model, library or identifiers do not go together.",
        413: "Too large.",
        422: "A file or an argument was refused; the code says why.",
        503: "Too many are waiting; see Retry-After.",
    }.items()
}


def described(kind: str, words: str) -> Described:
    """An answer that is no JSON, for the API's description."""
    return {200: {"content": {kind: {}}, "description": words}}


PNG = described("image/png", "A picture.")
Id = Annotated[str, Path(max_length=64)]
StudyId = Annotated[str, Path(max_length=256)]
Row = Annotated[int, Path(ge=0, le=1000)]


async def service_of(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Asked = Annotated[Service, Depends(service_of)]


async def needs_library(service: Asked) -> None:
    """Refuse, ``library_missing``, where the server was started without one."""
    _ = service.opened


def answered(answer: object, status: int = 200) -> JSONResponse:
    """A dataclass as the body of a response."""
    return JSONResponse(plain(answer), status)


def png(data: bytes) -> Response:
    return Response(data, media_type="image/png")


def attachment(data: bytes | str, kind: str, name: str) -> Response:
    """A file to be saved under a name."""
    return Response(data, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})
