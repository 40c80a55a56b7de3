"""The JSON of the HTTP API, as its OpenAPI document describes it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lingula.study import Decision, Mode, View


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(BaseModel):
    """Why a request was refused: a stable code, words, a remedy."""

    code: str
    message: str
    hint: str = ""
    request_id: str
    disclaimer: str


class Notice(BaseModel):
    code: str
    message: str


class Film(BaseModel):
    """A radiograph that was read; its picture is at ``picture``."""

    image_id: str
    view: View
    rows: int
    columns: int
    decoder: str
    attributes: dict[str, str]
    picture: str


class Prediction(BaseModel):
    label: str
    name: str
    probability: float
    interval: tuple[float, float] | None
    threshold: float
    decision: Decision


class Part(BaseModel):
    """What one comparison adds to a score."""

    name: str
    score: float
    weight: float
    value: float
    source: Mode | None


class Mark(BaseModel):
    start: int
    end: int
    finding: str
    polarity: str


class Evidence(BaseModel):
    """Why a study meets what was asked of a finding."""

    finding: str
    asked: str
    said: str | None
    basis: str
    probability: float | None


class Duplicate(BaseModel):
    study_id: str
    why: str


class Neighbour(BaseModel):
    rank: int
    study_id: str
    score: float
    labels: list[str]
    image_ids: list[str]
    same_patient: list[str]
    link: str
    parts: list[Part]
    snippet: str | None
    marks: list[Mark]
    evidence: list[Evidence]
    duplicates: list[Duplicate]


class Case(BaseModel):
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
    films: list[Film]
    report: str | None
    warnings: list[Notice]
    predictions: list[Prediction]
    neighbours: list[Neighbour]


class Study(BaseModel):
    """A study of the library; ``labels`` is null where nobody coded it."""

    disclaimer: str
    study_id: str
    films: list[Film]
    report: str | None
    labels: list[str] | None
    age: int | None


class Run(BaseModel):
    """A stretch of report text; ``level`` from -5 (against) to 5 (for); ``mention`` is a place in ``mentions``."""

    text: str
    level: int
    score: float | None
    heading: bool
    mention: int | None


class Mention(BaseModel):
    """Words of the report that name a finding."""

    label: str
    name: str
    said: str


class Map(BaseModel):
    """A map over one film: colours at ``picture``, outlines as SVG paths in ``width`` x ``height`` units."""

    picture: str
    width: int
    height: int
    outlines: list[str]
    place: str


class Explained(BaseModel):
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
    maps: list[Map]
    runs: list[Run]
    mentions: list[Mention]


class Operating(BaseModel):
    """Sensitivity and specificity on validation at each cut, by label; null where validation cannot tell."""

    disclaimer: str
    mode: Mode
    cuts: list[float]
    labels: dict[str, OperatingLabel]


class OperatingLabel(BaseModel):
    sensitivity: list[float | None]
    specificity: list[float | None]
    own: OperatingPoint


class OperatingPoint(BaseModel):
    """At the label's own threshold, on a straight line between the nearest cuts."""

    sensitivity: float | None
    specificity: float | None


class About(BaseModel):
    disclaimer: str
    version: str
    model: str
    library: str | None
    studies: int
    labels: dict[str, str]
    methods: dict[str, str]


class Health(BaseModel):
    disclaimer: str
    status: Literal["ready"]
    version: str


class Token(_Body):
    token: str = Field(max_length=1000)


class LibraryStatus(BaseModel):
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


class Refusal(BaseModel):
    name: str
    code: str
    message: str


class Refusals(BaseModel):
    disclaimer: str
    refused: list[Refusal]


class Wanted(_Body):
    """A finding asked for; empty for any finding at that side or place."""

    finding: str = ""
    side: Literal["left", "right", "bilateral"] | None = None
    place: str | None = None


class Query(_Body):
    """One question: what answers must show, must not show, must leave open; studies to be like; filters."""

    text: str = Field("", max_length=2000)
    present: list[Wanted] = Field([], max_length=100)
    absent: list[Wanted] = Field([], max_length=100)
    uncertain: list[Wanted] = Field([], max_length=100)
    either: list[Wanted] = Field([], max_length=100)
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


class NotUnderstood(BaseModel):
    """A word of a question that names no finding, side or place, and the one that may have been meant."""

    word: str
    proposal: str | None


class Answer(BaseModel):
    disclaimer: str
    query: Query
    understood: list[str]
    not_understood: list[NotUnderstood]
    matching: int
    searched: int
    neighbours: list[Neighbour]
    warnings: list[Notice]
    model: str
    library: str
    seconds: float


class Question(_Body):
    """Words to understand; ``address`` is that of the search they are added to."""

    text: str = Field("", max_length=2000)
    also: str = Field("", max_length=2000)
    without: str = Field("", max_length=2000)
    address: str = Field("", max_length=8000)


class Understood(BaseModel):
    """A question as understood; ``left_out`` are words that no address may hold."""

    disclaimer: str
    query: Query
    understood: list[str]
    not_understood: list[NotUnderstood]
    address: str
    left_out: list[str]


class Folder(_Body):
    """A folder of the server's own machine."""

    folder: str = Field(max_length=4096)


class JobError(BaseModel):
    code: str
    message: str


class Job(BaseModel):
    """An import: how far it is, and what was refused."""

    disclaimer: str
    job_id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    done: int
    total: int
    added: int
    present: int
    refused: list[Refusal]
    error: JobError | None


class Point(BaseModel):
    study_id: str
    x: float
    y: float
    labels: list[str]


class LibraryMap(BaseModel):
    """The library's films in the two directions in which their embeddings differ most; ``share`` of all variance."""

    disclaimer: str
    share: float
    points: list[Point]


class Card(BaseModel):
    """A film to say something of. Tick what it shows; nothing ticked says: none of these."""

    disclaimer: str
    card_id: str
    films: list[str]
    choices: dict[str, str]
    difficulty: Literal["easy", "hard"]
    due: int


class Ticked(_Body):
    chosen: list[str] = Field(max_length=50)


class Verdict(BaseModel):
    disclaimer: str
    right: bool
    answer: list[str]
    missed: list[str]
    wrong: list[str]
    study_id: str
    labels: list[str]
    report: str | None


class FindingProgress(BaseModel):
    name: str
    seen: int
    right: int


class Progress(BaseModel):
    disclaimer: str
    due: int
    findings: dict[str, FindingProgress]


class Region(BaseModel):
    """A part of a film, in shares of its width and height."""

    film: int
    x: float
    y: float
    width: float
    height: float


class Box(_Body):
    """A box on a film of a case, in the film's pixels; ``film`` is its row."""

    film: int = Field(0, ge=0, le=1000)
    x: int = Field(ge=0, le=100_000)
    y: int = Field(ge=0, le=100_000)
    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)
    mirrored: bool = False
    k: int = Field(5, ge=1, le=100)


class BoxAsked(BaseModel):
    """The same, with its film's name and size."""

    film: int
    x: int
    y: int
    width: int
    height: int
    image_id: str
    rows: int
    columns: int


class BoxFound(BaseModel):
    """A box on a stored film, in the pixels of the film as it was imported."""

    film: int
    x: int
    y: int
    width: int
    height: int
    rows: int
    columns: int


class RegionNeighbour(BaseModel):
    """A study that shows what the box shows; ``picture`` is the preview of the film its ``region`` is on."""

    rank: int
    study_id: str
    score: float
    labels: list[str]
    image_ids: list[str]
    link: str
    snippet: str | None
    marks: list[Mark]
    region: BoxFound
    mirrored: bool
    picture: str


class RegionAnswer(BaseModel):
    """The answer to a box."""

    disclaimer: str
    study_id: str
    region: BoxAsked
    mirrored_allowed: bool
    films_searched: int
    neighbours: list[RegionNeighbour]
    warnings: list[Notice]
    model: str
    library: str
    seconds: float


class Matched(BaseModel):
    score: float
    query: Region
    neighbour: Region


class Sentences(BaseModel):
    """Two sentences that say alike."""

    score: float
    query: str
    neighbour: str


class FindingPair(BaseModel):
    """What is said of a finding on either side; null where nothing is."""

    finding: str
    name: str
    query: str | None
    neighbour: str | None


class Share(BaseModel):
    """What a part of the query adds to the similarity."""

    name: str
    score: float


class Change(BaseModel):
    """The smallest set of regions or words without which the neighbour is no longer among the first."""

    kind: str
    found: bool
    rank_before: int
    rank_after: int
    regions: list[Region]
    words: list[str]


class Why(BaseModel):
    """Why a study of the library is like a case; ``shares`` add up to ``score``."""

    disclaimer: str
    study_id: str
    mode: Mode
    rank: int
    score: float
    shares: list[Share]
    matched: list[Matched]
    sentences: list[Sentences]
    shared: list[FindingPair]
    differing: list[FindingPair]
    changes: list[Change]
    maps: dict[str, list[str]]
