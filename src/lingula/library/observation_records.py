"""What nodes saw of each sender's films, a row a film, by which drift is found. Nothing of a patient, no identifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, insert, select

from lingula.library.schema import DriftBaselineRow, FilmObservationRow
from lingula.library.table_records import TableRecords


@dataclass(frozen=True, slots=True)
class FilmObservation:
    """One film.

    Attributes:
        at: seconds since 1970. kind: SOP class and modality. code: why it was refused; empty where it was judged.
        view_fault: the header names another view than the picture shows. polarity_fault: it looks inverted.
        unfamiliar: unlike the films the model learnt from, or no chest film.
        flags: findings of its study that stand out; None but for the first film of a study.
        findings: probability that its study is not normal, [0, 1]; None as for ``flags``.
        familiarity: how well the model knows such films, [0, 1]. brightness, contrast, noise, frame: of its picture;
            None where it was refused.
    """

    node: str
    sender: str
    at: float
    kind: str
    code: str
    view_fault: bool = False
    polarity_fault: bool = False
    unfamiliar: bool = False
    flags: int | None = None
    findings: float | None = None
    familiarity: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    noise: float | None = None
    frame: float | None = None


class ObservationRecords(TableRecords):
    """Observations of one library, and since when each sender's films are as usual."""

    def note(self, observations: Sequence[FilmObservation]) -> None:
        """Add observations."""
        if observations:
            self._write(insert(FilmObservationRow), [asdict(each) for each in observations])

    def senders(self) -> tuple[str, ...]:
        """All that films came from, by name."""
        return tuple(sorted(row.sender for row in self._rows(select(FilmObservationRow.sender).distinct())))

    def of(self, sender: str, baseline: int, most: int = 20_000) -> tuple[FilmObservation, ...]:
        """A sender's films since its baseline began, as they came: the first ``baseline``, the last ``most`` after."""
        table = FilmObservationRow.__table__
        columns = [table.c[name] for name in ("number", *FilmObservation.__slots__)]
        with self._transaction() as connection:
            since = connection.execute(select(DriftBaselineRow.since).where(DriftBaselineRow.sender == sender)).scalar()
            wanted = select(*columns).where(FilmObservationRow.sender == sender, FilmObservationRow.at >= (since or 0))
            rows = connection.execute(wanted.order_by(FilmObservationRow.number).limit(baseline)).all()
            after = wanted.where(FilmObservationRow.number > (rows[-1].number if rows else 0))
            late = connection.execute(after.order_by(FilmObservationRow.number.desc()).limit(most)).all()
        return tuple(
            FilmObservation(**{name: row._mapping[name] for name in FilmObservation.__slots__})
            for row in (*rows, *reversed(late))
        )

    def extent(self) -> tuple[int, int, float]:
        """First and last observation, and the latest baseline: changes with all that comes or is forgotten."""
        number = FilmObservationRow.number
        with self._transaction() as connection:
            first, last = connection.execute(select(func.min(number), func.max(number))).one()
            since = connection.execute(select(func.max(DriftBaselineRow.since))).scalar()
        return int(first or 0), int(last or 0), float(since or 0)

    def begin_anew(self, sender: str, at: float) -> None:
        """Take a sender's films from a time on as usual."""
        with self._transaction() as connection:
            connection.execute(delete(DriftBaselineRow).where(DriftBaselineRow.sender == sender))
            connection.execute(insert(DriftBaselineRow), {"sender": sender, "since": at})

    def forget_before(self, at: float) -> int:
        """Take out what is older than a time; how many films."""
        return self._write(delete(FilmObservationRow).where(FilmObservationRow.at < at))
