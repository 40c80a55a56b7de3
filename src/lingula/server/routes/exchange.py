"""The HTTP API of DICOM nodes that share the library: what they received and delivered, and trying again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from lingula.library.exchange_records import ExchangeItem
from lingula.server import schema
from lingula.server.routes.cases_and_search import REFUSED, answered, desk_of, library_of

router = APIRouter(prefix="/api/node", responses=REFUSED, tags=["node"])


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many films of the inbox, or objects of the outbox, are in a state."""

    table: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class ExchangeStatus:
    """What nodes did: counts by state, and the latest studies and objects, what waits first."""

    counts: tuple[StateCount, ...]
    items: tuple[ExchangeItem, ...]


@dataclass(frozen=True, slots=True)
class Retried:
    """How many films and objects are tried again."""

    retried: int


@router.get("", response_model=schema.answer(ExchangeStatus))
async def status(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """What nodes received, answered and delivered."""
    exchange = library_of(desk_of(request)).exchange

    def read() -> ExchangeStatus:
        counts = [
            StateCount(table, state, count)
            for table, states in exchange.counts().items()
            for state, count in sorted(states.items())
        ]
        return ExchangeStatus(tuple(counts), exchange.items(now=time.time(), limit=limit))

    return answered(await asyncio.to_thread(read))


@router.post("/retry", response_model=schema.answer(Retried))
async def retry(request: Request, item: Annotated[str, Query(max_length=128)] = "") -> Response:
    """Try again now what waits: one study or object by its name, or all."""
    exchange = library_of(desk_of(request)).exchange
    return answered(Retried(await asyncio.to_thread(exchange.retry, item)))
