"""The answers to a question page by page, as many as there are."""

from __future__ import annotations

from lingula.retrieval import Query
from lingula.server.service import Case, Service
from lingula.study import Neighbour

PAGE = 24
"""Answers of a page."""
_PAGES = 4
"""Pages that are searched for at once after the first."""


async def grid_page(service: Service, query: Query, case: Case | None, page: int) -> tuple[tuple[Neighbour, ...], bool]:
    """The answers of a page, from 1, and whether it is the last.

    Each stretch of pages is a search that leaves out the studies of those before.
    """
    answer = await service.search(query.with_options(k=PAGE), case, browse=True)
    if page == 1:
        return answer.neighbours, len(answer.neighbours) < PAGE
    seen: set[str] = set()
    for _ in range((page - 2) // _PAGES + 1):
        seen |= {
            each for found in answer.neighbours for each in (found.study_id, *(d.study_id for d in found.duplicates))
        }
        if not answer.neighbours:
            return (), True
        answer = await service.search(query.with_options(k=PAGE * _PAGES), case, exclude=seen, browse=True)
    first = (page - 2) % _PAGES * PAGE
    shown = answer.neighbours[first : first + PAGE]
    return shown, len(answer.neighbours) <= first + PAGE and len(answer.neighbours) < PAGE * _PAGES
