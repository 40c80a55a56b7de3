"""Films of one study in a spool to the objects that are written back: read in the sandbox, judged, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lingula.analysis import analyze
from lingula.errors import InputError, LibraryError
from lingula.library import Library
from lingula.library.observation_records import FilmObservation
from lingula.model.checkpoint import Checkpoint
from lingula.node.film_measures import observations, refusal
from lingula.node.kinds import Kind
from lingula.node.objects import ResultObject, result_objects
from lingula.node.region import evidence_boxes
from lingula.node.result import StudyResult
from lingula.node.source_film import SourceFilm
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import compose_study
from lingula.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What became of the films of a study.

    Attributes:
        objects: to be delivered; none where no film could be read.
        refused: file and code of each that could not.
        result: the answer; None where there is none. headers: of refused films, of those that have a header.
    """

    objects: tuple[ResultObject, ...]
    refused: tuple[tuple[Path, str], ...]
    result: StudyResult | None = None
    headers: Mapping[Path, Mapping[str, str]] = field(default_factory=dict)


def judged(
    files: Sequence[Path], model: Checkpoint, library: Library | None, sandbox: Sandbox, kinds: Sequence[Kind]
) -> Judgement:
    """Judge one study by its films; whatever is wrong with one of them costs that film alone."""
    read: list[tuple[DicomFile, dict[str, str]]] = []
    refused: list[tuple[Path, str]] = []
    headers: dict[Path, dict[str, str]] = {}
    for file in files:
        try:
            headers[file] = sandbox.read_source(file)
            film = sandbox.read_file(file)
            SourceFilm(film.radiograph, headers[file])  # refuses what nothing can be filed next to
            read.append((film, headers[file]))
        except InputError as error:
            refused.append((file, error.code))
    if not read:
        return Judgement((), tuple(refused), headers=headers)
    try:
        result = study_result(read, model, library)
    except InputError as error:  # several patients in one study, two films of one name
        every = (*refused, *((file, error.code) for file in files if file not in dict(refused)))
        return Judgement((), every, headers=headers)
    return Judgement(result_objects(result, kinds), tuple(refused), result, headers)


def observed(done: Judgement, *, node: str, sender: str, at: float) -> tuple[FilmObservation, ...]:
    """What is watched of these films over time, by whom they were sent."""
    told = [refusal(done.headers.get(file, {}), code, node=node, sender=sender, at=at) for file, code in done.refused]
    if done.result is not None:
        films = [(film.radiograph, film.header) for film in done.result.films]
        normal = done.result.vocabulary.normal
        told += observations(done.result.analysis, films, node=node, sender=sender, at=at, normal=normal)
    return tuple(told)


def study_result(
    read: Sequence[tuple[DicomFile, dict[str, str]]], model: Checkpoint, library: Library | None
) -> StudyResult:
    """The answer to one study, with the films it is about in the study's own order."""
    study = compose_study([film for film, _ in read], Study(""), same_study=True)
    headers = {film.radiograph.digest: header for film, header in read}
    films = tuple(SourceFilm(film, headers[film.digest]) for film in study.radiographs)
    try:
        analysis = analyze(study, model, library)
    except LibraryError as error:
        if error.code != "library_empty":
            raise
        analysis = analyze(study, model)
    return StudyResult(analysis, films, evidence_boxes(analysis, model), model.vocabulary)
