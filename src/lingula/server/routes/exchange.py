"""The HTTP API of DICOM nodes that share the library: what they received and delivered, and trying again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from lingula.library.exchange_records import ExchangeItem, ExchangeRecords
from lingula.node.drift import DriftReport, accept_sender
from lingula.server import schema
from lingula.server.routes.dependencies import REFUSED, Asked, answered, needs_library

router = APIRouter(prefix="/api/node", responses=REFUSED, tags=["node"], dependencies=[Depends(needs_library)])


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
async def status(service: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """What nodes received, answered and delivered."""
    exchange = service.opened.exchange
    return answered(await asyncio.to_thread(lambda: exchange_status(exchange, limit)))


def exchange_status(exchange: ExchangeRecords, limit: int) -> ExchangeStatus:
    """Inbox and outbox as they are now."""
    counts = [
        StateCount(table, state, count)
        for table, states in exchange.counts().items()
        for state, count in sorted(states.items())
    ]
    return ExchangeStatus(tuple(counts), exchange.items(now=time.time(), limit=limit))


@router.post("/retry", response_model=schema.answer(Retried))
async def retry(service: Asked, item: Annotated[str, Query(max_length=128)] = "") -> Response:
    """Try again now what waits: one study or object by its name, or all."""
    return answered(Retried(await asyncio.to_thread(service.opened.exchange.retry, item)))


@router.get("/drift", response_model=schema.answer(DriftReport))
async def drift(service: Asked) -> Response:
    """Whether the films of each sender are as they were."""
    return answered(await asyncio.to_thread(lambda: service.drift.report(fresh=True)))


@router.post("/drift/accept", response_model=schema.answer(DriftReport))
async def accept(service: Asked, sender: Annotated[str, Query(max_length=64)]) -> Response:
    """Take a sender's films as usual from now on."""

    def accepted() -> DriftReport:
        accept_sender(service.opened, sender)
        return service.drift.report(fresh=True)

    return answered(await asyncio.to_thread(accepted))
