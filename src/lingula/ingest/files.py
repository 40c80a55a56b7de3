"""Import files of one's own: a folder, an archive, a disc. Each film is decoded once, and none that is stored already.

Films of one Study Instance UID are one study, and so are films of one study folder where the tree says so plainly
(``patient12/study3/``); every other picture is a study of its own. A report lies beside a film under the same name with
another ending, or beside a study folder under the folder's name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lingula.deidentification.reports import header_names, without_identifiers
from lingula.errors import InputError, LingulaError
from lingula.ingest.batches import Imported, Progress, note_refused, store
from lingula.ingest.burned_in import BurnedIn, reader_for
from lingula.ingest.sources import Source, files_of, roles, unpacked
from lingula.library import Entry, Library
from lingula.library.identity import deidentified
from lingula.model.checkpoint import Checkpoint
from lingula.openi.collection import Refused
from lingula.reading.bounded_io import read_head
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.dicom.identity import study_id as made_study_id
from lingula.reading.file_key import FileKey
from lingula.reading.image_file import HEAD
from lingula.reading.report_formats import refuse_document
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import compose_study
from lingula.retrieval.region import forget_derived
from lingula.study import Study

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Group:
    """Files that make one study.

    Attributes:
        films: with their keys, no content twice.
        told: what its report says, without names; its coding, an id of its owner's; without films.
        given: the text of its report as it was read.
        report: the file of the report, where it has one.
        row: what to call it where it has no file.
        labels, patient, age: as in ``Entry``. split: the part of a split that its owner dealt it to; else empty.
        change: what its owner says of a film by the film's digest, put into what was read.
    """

    films: list[tuple[Source, FileKey]] = field(default_factory=list)
    told: Study = field(default_factory=lambda: Study(""))
    given: str = ""
    report: Source | None = None
    row: Path = Path()
    labels: tuple[str, ...] | None = None
    patient: str = ""
    age: int | None = None
    split: str = ""
    change: Callable[[str, DicomFile], DicomFile] = lambda _, film: film

    @property
    def digests(self) -> list[str]:
        return [key.digest for _, key in self.films]

    @property
    def names(self) -> list[Path]:
        """Of its films, else of its report, else of its row in a table."""
        films = [source.name for source, _ in self.films]
        return films or [self.report.name if self.report else self.row]


def import_files(
    library: Library,
    checkpoint: Checkpoint,
    root: Path,
    sandbox: Sandbox,
    *,
    burned_in: BurnedIn = "keep",
    sender: str = "",
    progress: Progress = lambda done, of: None,
) -> Imported:
    """Import a folder of radiographs, archives and reports, or one file.

    Args:
        burned_in: text in pictures is kept; films whose header tells of it are refused; or it is found and covered.
        sender: who sent them: a place or a machine, by whose name its studies can be watched and deleted.
        progress: called with (studies done, of how many as far as is known).

    Raises:
        InputError: not_found when nothing is there.
    """
    run = FileImport(library, checkpoint, sandbox, burned_in=burned_in, sender=sender, progress=progress)
    run.take(files_of(root, run.refused))
    return run.result(root)


class FileGroups:
    """Files put together as studies, with their reports; what becomes of each group is ``store``'s."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._seen: set[str] = set()
        self.refused: list[Refused] = []
        self.copies = 0

    def store(self, groups: list[Group]) -> None:
        """Do with these studies what they are read for."""
        raise NotImplementedError

    def take(self, sources: Iterable[Source]) -> None:
        """Import files; archives one after the other, when all else is stored. Archives in archives are refused."""
        found = roles(sources, self.refused)
        self._take_loose(found["film"], found["report"])
        for archive in found["archive"]:
            try:
                with unpacked(archive, self.sandbox.limits) as members:
                    inside = roles(members, self.refused)
                    self._take_loose(inside["film"], inside["report"])
                    for nested in inside["archive"]:
                        self.refuse([nested.name], InputError("unsupported_format", "an archive inside an archive"))
            except InputError as error:
                self.refuse([archive.name], error)

    def _take_loose(self, films: list[Source], reports: list[Source]) -> None:
        groups = list(self.grouped(films))
        self._give_reports(groups, reports)
        self.store(groups)

    def keys(self, films: list[Source]) -> Iterator[tuple[Source, FileKey]]:
        """Films with their keys; the second of equal ones is counted, not read."""
        for source, (_, key) in zip(films, self.sandbox.read_keys(film.path for film in films), strict=True):
            if isinstance(key, InputError):
                self.refuse([source.name], key)
            elif key.digest in self._seen:
                self.copies += 1
            else:
                self._seen.add(key.digest)
                yield source, key

    def grouped(self, films: list[Source]) -> Iterable[Group]:
        """Films that are one study together."""
        groups: dict[str, Group] = {}
        for source, key in self.keys(films):
            name = key.study or source.study_folder or key.digest
            groups.setdefault(name, Group()).films.append((source, key))
        return groups.values()

    def _give_reports(self, groups: list[Group], reports: list[Source]) -> None:
        """Each report to the study it lies beside. A report of no study or of several, or a second one, is refused."""
        by_place: dict[str, dict[int, Group]] = {}
        for group in groups:
            for film, _ in group.films:
                for place in {film.file_stem, film.study_folder} - {""}:
                    by_place.setdefault(place, {})[id(group)] = group
        for report in reports:
            near = list(by_place.get(report.file_stem, {}).values())
            nearest = near[0] if near else None
            if len(near) > 1:
                self.refuse([report.name], InputError("bad_request", "a report beside films of several studies."))
            elif nearest is None:
                self.refuse([report.name], _lone_report(report))
            elif nearest.report is not None:
                self.refuse([report.name], InputError("bad_request", "a second report for one study."))
            else:
                nearest.report = report

    def refuse(self, names: Iterable[Path], error: LingulaError) -> None:
        """Note why these files are left out."""
        told = [Refused(name, error.code, f"{error.message} {error.hint}".strip()) for name in names]
        for each in told:
            _LOG.warning("a file was refused: %s", each.code)
        self.refused += told

    def _read_report(self, group: Group) -> None:
        """Read the file of the group's report, and take names out of it; a refused one is noted, and the group has
        none."""
        try:
            if group.report is not None:
                group.told = self.sandbox.read_report(group.report.path)
        except InputError as error:
            self.refuse([group.report.name] if group.report else [], error)
            group.report = None
        if group.told.report is not None:
            sources = [source for source, _ in group.films] + ([group.report] if group.report else [])
            names = header_names((source.path for source in sources), self.sandbox, group.patient)
            group.given = group.told.report.text
            group.told = without_identifiers(group.told, names)

    def _films(
        self, group: Group, answers: Iterator[tuple[Path, DicomFile | InputError]], *but: str
    ) -> list[DicomFile]:
        """The films of a group as they were read, but those of these digests; refused ones are noted."""
        read = []
        for source, key in group.films:
            if key.digest not in but:
                _, answer = next(answers)
                if isinstance(answer, InputError):
                    self.refuse([source.name], answer)
                else:
                    read.append(group.change(key.digest, answer))
        return read

    def _composed(self, group: Group, read: list[DicomFile]) -> Study | None:
        """The study of a group whose films were read; None, and its files refused, where it is none."""
        if group.films and not read:
            if group.report is not None:
                self.refuse([group.report.name], InputError("unsupported_format", "a report whose film was refused."))
            return None
        try:
            study = compose_study(read, group.told)
            if not study.radiographs and (study.report is None or study.report.is_empty):
                raise InputError("not_a_report", "neither a readable film nor the text of a report.")
        except LingulaError as error:
            self.refuse(group.names, error)
            return None
        return study


class StudyReader(FileGroups):
    """Files read as studies without a library; each is given to ``deliver`` with its group."""

    def __init__(self, sandbox: Sandbox, deliver: Callable[[Study, Group], None]) -> None:
        super().__init__(sandbox)
        self._deliver = deliver

    def store(self, groups: list[Group]) -> None:
        answers = self.sandbox.read_files([source.path for group in groups for source, _ in group.films])
        for group in groups:
            self._read_report(group)
            if (study := self._composed(group, self._films(group, answers))) is not None:
                digests = (film.digest for film in study.radiographs)
                name = study.study_id or made_study_id(*digests)
                self._deliver(replace(study, study_id=name), group)


class FileImport(FileGroups):
    """One import while it runs.

    Args:
        follows: a report that changed takes the place of the stored one, as in the archive that is followed.
        Others as ``import_files``.
    """

    def __init__(
        self,
        library: Library,
        checkpoint: Checkpoint,
        sandbox: Sandbox,
        *,
        burned_in: BurnedIn = "keep",
        sender: str = "",
        follows: bool = False,
        progress: Progress = lambda done, of: None,
    ) -> None:
        super().__init__(sandbox)
        self._follows = follows
        self._library, self._checkpoint = library, checkpoint
        self._reader = reader_for(sandbox, burned_in)
        self._progress, self._sender = progress, sender
        self._names: dict[str, list[Path]] = {}
        self._late: set[str] = set()
        self._holders: dict[str, frozenset[str]] = {}
        self._done = self._total = 0
        self.added = self.present = self.images = 0

    def result(self, root: Path, unused: tuple[str, ...] = ()) -> Imported:
        noted = note_refused(self._library, self.refused, root)
        return Imported(self.added, self.present, self.images, refused=noted, copies=self.copies, unused=unused)

    # -- storing

    def store(self, groups: list[Group]) -> None:
        """Decode, embed and store what the library does not hold."""
        holders = self._holders = self._library.holders({digest for group in groups for digest in group.digests})
        self._total += len(groups)
        todo = [group for group in groups if not self._settled(group)]
        self._progress(self._done, self._total)
        entries = self._entries(todo, frozenset(holders))
        stored = store(self._library, self._checkpoint, entries, self.refused, self._told)
        if self._late:
            forget_derived(self._library, self._late)
            self._late.clear()
        self.added += stored.added
        self.present += stored.present
        self.images += stored.images
        self.refused = [
            replace(each, path=name) for each in self.refused for name in self._names.get(str(each.path), [each.path])
        ]

    def _told(self, stored: int) -> None:
        self._done += stored
        self._progress(self._done, self._total)

    def _settled(self, group: Group) -> bool:
        """Read the group's report, and tell whether nothing is left to be done: refused, or stored already."""
        self._read_report(group)
        if not group.films or not all(digest in self._holders for digest in group.digests):
            return False
        if self._is_told_late(group):
            return False
        self._done += 1
        if not self._agrees(self._holders_of(group), group):
            message = "its films are stored already, with another report or coding, or with none."
            self.refuse(group.names[:1], InputError("uid_conflict", message, "Import it into another library."))
        else:
            self.present += 1
        return True

    def _is_told_late(self, group: Group) -> bool:
        """Whether a report came to films that are stored without one, or with one whose place it takes."""
        studies = self._holders_of(group)
        if len(studies) != 1 or group.told.report is None or group.told.report.is_empty:
            return False
        (stored,) = self._library.summaries(studies).values()
        if stored.report is None:
            return True
        return self._follows and stored.report.text not in (group.told.report.text, group.given)

    def _agrees(self, studies: set[str], group: Group) -> bool:
        """Whether one of these stored studies has the group's report and labels, where it has any."""
        labels = group.labels
        if labels is None and group.told.terms is not None:
            labels = self._checkpoint.vocabulary.present(group.told.terms)
        text = group.told.report.text if group.told.report else None
        return any(
            (text is None or (stored.report is not None and stored.report.text in (text, group.given)))
            and labels in (None, stored.labels)
            for stored in self._library.summaries(studies).values()
        )

    def _entries(self, groups: list[Group], stored: frozenset[str]) -> Iterator[Entry]:
        """Studies that are not in the library, decoded while the reader reads ahead."""
        awaited = [source.path for group in groups for source, key in group.films if key.digest not in stored]
        answers = self._reader.read_files(awaited)
        for group in groups:
            read = self._films(group, answers, *stored.intersection(group.digests))
            entry = None
            if read or stored.isdisjoint(group.digests):
                entry = self._entry(group, read)
            elif self._is_told_late(group):
                entry = self._with_report(group)
            else:
                self.present += 1
            if entry is not None:
                yield entry
            else:
                self._told(1)

    def _holders_of(self, group: Group) -> set[str]:
        """Stored studies that have a film of the group."""
        return {holder for digest in group.digests for holder in self._holders.get(digest, ())}

    def _with_report(self, group: Group) -> Entry | None:
        """The stored study of a group's films with the report that came after them."""
        (study_id,) = self._holders_of(group)
        self._names[study_id] = group.names
        study = replace(group.told, study_id=study_id)
        return self._with_stored(Entry(study, {}, group.labels, group.patient, group.age, self._sender), group.given)

    def _entry(self, group: Group, read: list[DicomFile]) -> Entry | None:
        study = self._composed(group, read)
        if study is None:
            return None
        try:
            study = deidentified(study, self._library.secret, name=group.told.study_id)
        except LingulaError as error:
            self.refuse(group.names, error)
            return None
        if not read and self._is_stored(study):
            self.present += 1
            return None
        holders = self._holders_of(group)
        if len(holders) > 1:
            message = "its other films are stored already, in several studies."
            self.refuse(group.names, InputError("uid_conflict", message, "Import it into another library."))
            return None
        study = replace(study, study_id=next(iter(holders), study.study_id))
        new = [source.name for source, key in group.films if key.digest not in self._holders]
        self._names[study.study_id] = new or group.names
        entry = Entry(study, {}, group.labels, group.patient, group.age, self._sender)
        return self._with_stored(entry, group.given) if read else entry

    def _with_stored(self, entry: Entry, given: str) -> Entry | None:
        """An entry with the films, the report and the coding that its study has in the library already: films that came
        later are taken in. None, and refused, where what came contradicts what is stored.

        Args:
            given: the text of its report with names, as an older library may hold it.
        """
        study = entry.study
        if study.study_id not in self._library:
            return entry
        stored = self._library.get(study.study_id)
        films = {film.image_id: film for film in stored.radiographs}
        digests = {film.digest for film in stored.radiographs}
        late = [film for film in study.radiographs if film.digest not in digests]
        another = next((film.image_id for film in late if film.image_id in films), None)
        told = study.report is not None and stored.report not in (None, study.report)
        told = told and stored.report is not None and stored.report.text != given and not self._follows
        born = next((film.birth_date for film in late if film.birth_date), "")
        stranger = not entry.patient and stored.birth_key not in ("", self._library.birth_key(born) or stored.birth_key)
        if another is not None or told or stranger:
            what = "of another patient" if stranger else "with another film of that name"
            message = f"its study is stored already, {'with another report' if told else what}."
            names = self._names.pop(study.study_id)
            self.refuse(names, InputError("uid_conflict", message, "Import it into another library."))
            self.present += 1
            return None
        self._late.add(study.study_id)
        whole = replace(
            study, report=study.report or stored.report, terms=stored.terms if study.terms is None else study.terms,
            radiographs=(*(film.radiograph() for film in stored.radiographs), *late),
        )  # fmt: skip
        labels = stored.labels if entry.labels is None else entry.labels
        return replace(entry, study=whole, labels=labels, replaces=stored.digest)

    def _is_stored(self, study: Study) -> bool:
        """Whether a study without films is there already, with the same report."""
        stored = self._library.summaries([study.study_id]).get(study.study_id)
        return stored is not None and not stored.images and stored.report == study.report


def _lone_report(report: Source) -> InputError:
    """Why a report that lies beside no film is refused: by its kind where that is never read."""
    try:
        refuse_document(read_head(report.path, HEAD), report.name.name)
    except InputError as error:
        return error
    hint = "Reports lie beside a film under its name, or stand in a table (lingula import table)."
    return InputError("unsupported_format", "a report without a film.", hint)
