"""The JSON of the HTTP API, as its OpenAPI document describes it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lingula.study import Decision, Mode, View


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorBody(BaseModel):
    """Why a request was refused: a stable code, words, a remedy."""

    code: str
    message: str
    hint: str = ""
    request_id: str
    disclaimer: str


class NoticeBody(BaseModel):
    code: str
    message: str


class FilmBody(BaseModel):
    """A radiograph that was read; its picture is at ``picture``."""

    image_id: str
    view: View
    rows: int
    columns: int
    decoder: str
    attributes: dict[str, str]
    picture: str


class PredictionBody(BaseModel):
    label: str
    name: str
    probability: float
    interval: tuple[float, float] | None
    threshold: float
    decision: Decision


class PartBody(BaseModel):
    """What one comparison adds to a score."""

    name: str
    score: float
    weight: float
    value: float
    source: Mode | None


class MarkBody(BaseModel):
    start: int
    end: int
    finding: str
    polarity: str


class EvidenceBody(BaseModel):
    """Why a study meets what was asked of a finding."""

    finding: str
    asked: str
    said: str | None
    basis: str
    probability: float | None


class DuplicateBody(BaseModel):
    study_id: str
    why: str


class NeighbourBody(BaseModel):
    rank: int
    study_id: str
    score: float
    labels: list[str]
    image_ids: list[str]
    same_patient: list[str]
    link: str
    parts: list[PartBody]
    snippet: str | None
    marks: list[MarkBody]
    evidence: list[EvidenceBody]
    duplicates: list[DuplicateBody]


class CaseBody(BaseModel):
    """A study that was brought in, and its answer."""

    disclaimer: str
    case_id: str
    study_id: str
    mode: Mode
    model: str
    library: str
    seconds: float
    answerable: bool
    familiarity: Literal["known", "unlike", "not_chest"] | None
    films: list[FilmBody]
    report: str | None
    warnings: list[NoticeBody]
    predictions: list[PredictionBody]
    neighbours: list[NeighbourBody]


class StudyBody(BaseModel):
    """A study of the library; ``labels`` is null where nobody coded it."""

    disclaimer: str
    study_id: str
    films: list[FilmBody]
    report: str | None
    labels: list[str] | None
    age: int | None


class RunBody(BaseModel):
    """A stretch of report text; ``level`` from -5 (against) to 5 (for); ``mention`` is a place in ``mentions``."""

    text: str
    level: int
    score: float | None
    heading: bool
    mention: int | None


class MentionBody(BaseModel):
    """Words of the report that name a finding."""

    label: str
    name: str
    said: str


class MapBody(BaseModel):
    """A map over one film: colours at ``picture``, outlines as SVG paths in ``width`` x ``height`` units."""

    picture: str
    width: int
    height: int
    outlines: list[str]
    place: str


class ExplainedBody(BaseModel):
    """The evidence of one method for one finding."""

    disclaimer: str
    method: str
    method_name: str
    sentence: str
    unit: str
    label: str
    label_name: str
    signed: bool
    top: float | None
    completeness_error: float | None
    marks: list[str]
    maps: list[MapBody]
    runs: list[RunBody]
    mentions: list[MentionBody]


class OperatingBody(BaseModel):
    """Sensitivity and specificity on validation at each cut, by label; null where validation cannot tell."""

    disclaimer: str
    mode: Mode
    cuts: list[float]
    labels: dict[str, OperatingLabelBody]


class OperatingLabelBody(BaseModel):
    sensitivity: list[float | None]
    specificity: list[float | None]
    own: OperatingPointBody


class OperatingPointBody(BaseModel):
    """At the label's own threshold, on a straight line between the nearest cuts."""

    sensitivity: float | None
    specificity: float | None


class AboutBody(BaseModel):
    disclaimer: str
    version: str
    model: str
    library: str | None
    studies: int
    labels: dict[str, str]
    methods: dict[str, str]


class ReasonBody(BaseModel):
    code: str
    message: str
    hint: str


class HealthBody(BaseModel):
    disclaimer: str
    status: Literal["ready", "trouble"]
    version: str
    reasons: list[ReasonBody]


class TokenBody(_Body):
    token: str = Field(max_length=1000)


class LibraryStatusBody(BaseModel):
    disclaimer: str
    model: str
    vocabulary: str
    dimension: int
    studies: int
    radiographs: int
    uncoded: int
    labels: dict[str, int]
    views: dict[str, int]
    embeddings: dict[str, int]
    refused: dict[str, int]
    mentioned: dict[str, int]
    outdated: bool


class RefusalBody(BaseModel):
    name: str
    code: str
    message: str


class RefusalsBody(BaseModel):
    disclaimer: str
    refused: list[RefusalBody]


class WantedBody(_Body):
    """A finding asked for; empty for any finding at that side or place."""

    finding: str = ""
    side: Literal["left", "right", "bilateral"] | None = None
    place: str | None = None


class QueryBody(_Body):
    """One question: what answers must show, must not show, must leave open; studies to be like; filters."""

    text: str = Field("", max_length=2000)
    present: list[WantedBody] = Field([], max_length=100)
    absent: list[WantedBody] = Field([], max_length=100)
    uncertain: list[WantedBody] = Field([], max_length=100)
    either: list[WantedBody] = Field([], max_length=100)
    words: list[str] = Field([], max_length=100)
    like: str = ""
    more: list[str] = Field([], max_length=100)
    less: list[str] = Field([], max_length=100)
    view: View | None = None
    age: list[int] | None = Field(None, min_length=2, max_length=2)
    labels: list[str] = Field([], max_length=100)
    source: Mode | None = None
    target: Mode | None = None
    k: int = Field(10, ge=1, le=100)
    fold: bool = True


class NotUnderstoodBody(BaseModel):
    """A word of a question that names no finding, side or place, and the one that may have been meant."""

    word: str
    proposal: str | None


class AnswerBody(BaseModel):
    disclaimer: str
    query: QueryBody
    understood: list[str]
    not_understood: list[NotUnderstoodBody]
    matching: int
    searched: int
    neighbours: list[NeighbourBody]
    warnings: list[NoticeBody]
    model: str
    library: str
    seconds: float


class QuestionBody(_Body):
    """Words to understand; ``address`` is that of the search they are added to."""

    text: str = Field("", max_length=2000)
    also: str = Field("", max_length=2000)
    without: str = Field("", max_length=2000)
    address: str = Field("", max_length=8000)


class UnderstoodBody(BaseModel):
    """A question as understood; ``left_out`` are words that no address may hold."""

    disclaimer: str
    query: QueryBody
    understood: list[str]
    not_understood: list[NotUnderstoodBody]
    address: str
    left_out: list[str]


class FolderBody(_Body):
    """A folder of the server's own machine."""

    folder: str = Field(max_length=4096)


class JobErrorBody(BaseModel):
    code: str
    message: str


class JobBody(BaseModel):
    """An import: how far it is, and what was refused."""

    disclaimer: str
    job_id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    done: int
    total: int
    added: int
    present: int
    refused: list[RefusalBody]
    error: JobErrorBody | None


class PointBody(BaseModel):
    study_id: str
    x: float
    y: float
    labels: list[str]


class LibraryMapBody(BaseModel):
    """The library's films in the two directions in which their embeddings differ most; ``share`` of all variance."""

    disclaimer: str
    share: float
    points: list[PointBody]


class CardBody(BaseModel):
    """A film to say something of. Tick what it shows; nothing ticked says: none of these."""

    disclaimer: str
    card_id: str
    films: list[str]
    choices: dict[str, str]
    difficulty: Literal["easy", "hard"]
    due: int


class TickedBody(_Body):
    chosen: list[str] = Field(max_length=50)


class VerdictBody(BaseModel):
    disclaimer: str
    right: bool
    answer: list[str]
    missed: list[str]
    wrong: list[str]
    study_id: str
    labels: list[str]
    report: str | None


class FindingProgressBody(BaseModel):
    name: str
    seen: int
    right: int


class ProgressBody(BaseModel):
    disclaimer: str
    due: int
    findings: dict[str, FindingProgressBody]


class RegionBody(BaseModel):
    """A part of a film, in shares of its width and height."""

    film: int
    x: float
    y: float
    width: float
    height: float


class BoxBody(_Body):
    """A box on a film of a case, in the film's pixels; ``film`` is its row."""

    film: int = Field(0, ge=0, le=1000)
    x: int = Field(ge=0, le=100_000)
    y: int = Field(ge=0, le=100_000)
    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)
    mirrored: bool = False
    k: int = Field(5, ge=1, le=100)


class BoxAskedBody(BaseModel):
    """The same, with its film's name and size."""

    film: int
    x: int
    y: int
    width: int
    height: int
    image_id: str
    rows: int
    columns: int


class BoxFoundBody(BaseModel):
    """A box on a stored film, in the pixels of the film as it was imported."""

    film: int
    x: int
    y: int
    width: int
    height: int
    rows: int
    columns: int


class RegionNeighbourBody(BaseModel):
    """A study that shows what the box shows; ``picture`` is the preview of the film its ``region`` is on."""

    rank: int
    study_id: str
    score: float
    labels: list[str]
    image_ids: list[str]
    link: str
    snippet: str | None
    marks: list[MarkBody]
    region: BoxFoundBody
    mirrored: bool
    picture: str


class RegionAnswerBody(BaseModel):
    """The answer to a box."""

    disclaimer: str
    study_id: str
    region: BoxAskedBody
    mirrored_allowed: bool
    films_searched: int
    neighbours: list[RegionNeighbourBody]
    warnings: list[NoticeBody]
    model: str
    library: str
    seconds: float


class MatchedBody(BaseModel):
    score: float
    query: RegionBody
    neighbour: RegionBody


class SentencesBody(BaseModel):
    """Two sentences that say alike."""

    score: float
    query: str
    neighbour: str


class FindingPairBody(BaseModel):
    """What is said of a finding on either side; null where nothing is."""

    finding: str
    name: str
    query: str | None
    neighbour: str | None


class ShareBody(BaseModel):
    """What a part of the query adds to the similarity."""

    name: str
    score: float


class ChangeBody(BaseModel):
    """The smallest set of regions or words without which the neighbour is no longer among the first."""

    kind: str
    found: bool
    rank_before: int
    rank_after: int
    regions: list[RegionBody]
    words: list[str]


class WhyBody(BaseModel):
    """Why a study of the library is like a case; ``shares`` add up to ``score``."""

    disclaimer: str
    study_id: str
    mode: Mode
    rank: int
    score: float
    shares: list[ShareBody]
    matched: list[MatchedBody]
    sentences: list[SentencesBody]
    shared: list[FindingPairBody]
    differing: list[FindingPairBody]
    changes: list[ChangeBody]
    maps: dict[str, list[str]]
