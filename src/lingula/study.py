"""The types every stage speaks: a study and its parts going in, an analysis and its parts coming out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import Notice
from lingula.plain import DISCLAIMER as DISCLAIMER
from lingula.plain import HIDDEN, JsonAnswer, named

View = Literal["frontal", "lateral", "unknown"]
VIEWS: tuple[View, ...] = ("frontal", "lateral", "unknown")
SECTIONS = ("comparison", "indication", "findings", "impression")
SectionName = Literal["comparison", "indication", "findings", "impression"]


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One image of a study, ready to look at.

    Attributes:
        image_id: identifier in the collection (``CXR1000_IM-0003-1001``), the SOP Instance UID, or made from the
            file's content (``film-0123456789ab``).
        pixels: (rows, columns) float32 in [0, 1], display values: Modality LUT, VOI LUT and polarity applied, dense
            tissue bright (as MONOCHROME2), square pixels, upright. Original resolution.
        view: frontal, lateral or unknown.
        decoder: what decoded the pixels ("pydicom", "imagecodecs 2026.3.6", "pillow 12.0 JPEG", ...).
        attributes: the few allow-listed, de-identified facts worth showing, keyword to text (Modality,
            PhotometricInterpretation, BitsStored, ViewPosition, BodyPartExamined, TransferSyntaxUID ...).
        notices: warnings found while reading.
        digest: SHA-256 of the file's bytes, hex; empty when the image never was a file.
        birth_date, study_date: YYYYMMDD or empty; used for grouping and age only, never shown.
        left_out: shown, but not read by the model: no chest radiograph among others that are.
    """

    image_id: str
    pixels: npt.NDArray[np.float32] = field(repr=False)
    view: View = "unknown"
    decoder: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    notices: tuple[Notice, ...] = ()
    digest: str = ""
    birth_date: str = field(default="", repr=False)
    study_date: str = field(default="", repr=False)
    left_out: bool = False

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32:
            raise ValueError(f"pixels must be (rows, columns) float32, got {self.pixels.shape} {self.pixels.dtype}")

    def with_view(self, view: View) -> Radiograph:
        return replace(self, view=view)


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of a report: ``report.text[start:end]``."""

    name: SectionName
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Report:
    """A radiology report: its text as given and where its sections are.

    Token scores and snippets are character spans of ``text``, so that they can be shown in the reader's own words.
    """

    text: str
    sections: tuple[Section, ...]

    @classmethod
    def from_sections(cls, **sections: str) -> Report:
        """Compose a report from section texts, in the order of ``SECTIONS``, each under its heading."""
        if unknown := set(sections) - set(SECTIONS):
            raise ValueError(f"unknown sections {sorted(unknown)}; known: {SECTIONS}")
        text, spans = "", []
        for name in SECTIONS:
            if body := sections.get(name, "").strip():
                text += ("\n\n" if text else "") + f"{name.upper()}: "
                spans.append(Section(name, len(text), len(text) + len(body)))  # type: ignore[arg-type]
                text += body
        return cls(text, tuple(spans))

    def section(self, name: SectionName) -> str:
        """The text of a section, empty when the report lacks it."""
        return "\n".join(self.text[part.start : part.end] for part in self.sections if part.name == name)

    def only(self, *names: SectionName) -> Report:
        """The same text with only these sections marked: what an encoder may read."""
        return replace(self, sections=tuple(part for part in self.sections if part.name in names))

    @property
    def is_empty(self) -> bool:
        return not any(self.text[part.start : part.end].strip() for part in self.sections)


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One examination: images and report. The unit of split and of retrieval.

    Attributes:
        study_id: collection identifier (``CXR1000``), Study Instance UID, or a name made from the file.
        terms: human MeSH coding, ``Heading/qualifier/...`` as in the file; None when nobody coded the study
            (unknown is not absent).
    """

    study_id: str
    radiographs: tuple[Radiograph, ...] = ()
    report: Report | None = None
    terms: tuple[str, ...] | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def all_notices(self) -> tuple[Notice, ...]:
        return self.notices + tuple(notice for image in self.radiographs for notice in image.notices)

    def frontal(self) -> Study:
        """This study with its frontal (or unknown) radiographs only."""
        return replace(self, radiographs=tuple(r for r in self.radiographs if r.view != "lateral"))

    def image_only(self) -> Study:
        return replace(self, report=None)

    def text_only(self) -> Study:
        return replace(self, radiographs=())


def front_row(views: Iterable[View]) -> int | None:
    """Which of a study's films is shown where there is room for one: the first that is no lateral; None for none."""
    return next((row for row, view in enumerate(views) if view != "lateral"), None)


Decision = Literal["present", "absent", "abstain", "cannot_judge"]
DECISION_WORDS: dict[Decision, str] = {
    "present": "flagged", "absent": "not flagged", "abstain": "not sure", "cannot_judge": "cannot judge"
}  # fmt: skip
"""How a decision on a finding is said to a reader."""
NORMAL = "normal"
"""Code of the label that says that nothing was found; it is no finding and is never flagged."""
_NORMAL_WORDS: dict[Decision, str] = {**DECISION_WORDS, "present": "likely", "absent": "unlikely"}
Mode = Literal["image", "text", "joint"]
MODES: tuple[Mode, ...] = ("image", "text", "joint")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one label.

    Attributes:
        label: code of the vocabulary (``pleural_effusion``).
        name: the label's name for a reader.
        probability: calibrated, in [0, 1].
        threshold: cut chosen on validation, in [0, 1].
        decision: present, absent, abstain where the probability lies too near the threshold to tell, or above it
            though a call of this label tells little, or cannot_judge where films like this one do not tell the label.
        interval: bounds of the probability, 95 %, from how few studies it was calibrated on; None where nobody looked.
    """

    label: str
    name: str
    probability: float
    threshold: float
    decision: Decision
    interval: tuple[float, float] | None = None

    @property
    def flagged(self) -> bool:
        """Whether it is a finding called present; *normal* is none."""
        return self.decision == "present" and self.label != NORMAL

    @property
    def words(self) -> str:
        """The decision for a reader."""
        return (_NORMAL_WORDS if self.label == NORMAL else DECISION_WORDS)[self.decision]


PartName = Literal["image", "text", "joint", "hub", "words", "labels", "shared", "overlap", "normal"]
Basis = Literal["report", "coding", "prediction", "silence"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one comparison adds to a score.

    Attributes:
        name: the study's films, report or both (compared by embedding), its hubness (``retrieval.hubness``),
            its words, or the findings asked for; of a study to be like, the chance that an abnormal label is
            shared, their expected overlap, and the chance that both are normal (``retrieval.relevance``).
        score: what it adds, ``weight * value``, 6 decimals.
        weight, value: of an embedding ``value`` is the cosine, of a hub a mean of cosines (with a weight below 0), both
            in [-1, 1]; of words and findings the share met, of labels a chance or share, [0, 1].
        source: of an embedding, the mode in which the question was read; ``name`` is the mode compared with it.
    """

    name: PartName
    score: float
    weight: float
    value: float
    source: Mode | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """``report.text[start:end]`` asserts this of a finding."""

    start: int
    end: int
    finding: str
    polarity: str


@dataclass(frozen=True, slots=True)
class Snippet:
    """The telling piece ``report.text[start:end]`` of a report, with the words in it that assert what was asked."""

    start: int
    end: int
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a study meets what was asked of a finding.

    Attributes:
        finding: its code; asked: "present", "either", "absent" or "uncertain".
        said: what the report says of it on the whole; None when it says nothing, or there is no report.
        basis: the report, the human coding, the model's prediction (a study nobody reported), or silence: nothing
            speaks of the finding.
        probability: the prediction, in [0, 1], where that is the basis.
    """

    finding: str
    asked: str
    said: str | None
    basis: Basis
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A study folded into a neighbour because it is the same: "same study", "same text", "near-identical film"."""

    study_id: str
    why: str


_SHARES = [
    (part, of, f"{part} in {of}")
    for part, of in ((0, 10), (1, 10), (1, 5), (1, 4), (1, 3), (1, 2), (2, 3), (3, 4), (4, 5), (9, 10), (10, 10))
]


@dataclass(frozen=True, slots=True)
class Neighbour(JsonAnswer):
    """One answer of a search.

    Attributes:
        rank: from 1. score: higher is better, the sum of its parts; a cosine, [-1, 1], where only embeddings are
            compared.
        labels: codes it is coded with.
        snippet: a piece of its report; None without one.
        evidence: one for each finding asked for.
        duplicates: folded into this one. same_patient: other answers, or the asked study, with the same birth date:
            perhaps the same patient.
        link: where its source is published; empty when unknown.
        odds: the probability, [0, 1], that it shares an abnormal finding with the asked study, or is normal as that
            is; None where no study was asked about, or no relevance model was fitted.
    """

    rank: int
    study_id: str
    score: float
    labels: tuple[str, ...]
    report: Report | None = field(default=None, repr=False, metadata=HIDDEN)
    image_ids: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    snippet: Snippet | None = field(default=None, metadata=HIDDEN)
    evidence: tuple[Evidence, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    same_patient: tuple[str, ...] = ()
    link: str = ""
    odds: float | None = None

    SHOWN: ClassVar = {"snippet": "snippet_text", "marks": "snippet_marks", "shares": "shares"}

    @property
    def shares(self) -> str | None:
        """The odds in round numbers: "3 in 4"."""
        return None if self.odds is None else min(_SHARES, key=lambda each: abs(each[0] / each[1] - self.odds))[2]  # type: ignore[operator]

    @property
    def snippet_text(self) -> str | None:
        return self.report.text[self.snippet.start : self.snippet.end] if self.report and self.snippet else None

    @property
    def snippet_marks(self) -> tuple[Mark, ...]:
        """The marks of the snippet as spans of ``snippet_text``."""
        cut = self.snippet if self.report else None
        at = cut.start if cut else 0
        return tuple(replace(mark, start=mark.start - at, end=mark.end - at) for mark in cut.marks) if cut else ()


@dataclass(frozen=True, slots=True)
class TokenScore:
    """How much ``report.text[start:end]`` contributed (signed where the method is signed)."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Trust:
    """How a method did when it was tested with this model (``lingula evaluate --explanations``).

    Attributes:
        randomisation: mean rank correlation of its maps with those of the same model with random weights;
            randomisation_pairs: of maps of two different films. The first must not exceed the second.
        sensitivity: mean rank correlation of its maps for two labels; below 1 where it answers for the label.
        deletion, insertion: mean area under the curve of the label's probability while the strongest places are
            removed (lower is better) or shown first (higher is better); ``..._random``: the same in random order.
        films: how many were looked at.
        passed: whether it passed randomisation and class sensitivity.
    """

    randomisation: float
    randomisation_pairs: float
    sensitivity: float
    deletion: float
    deletion_random: float
    insertion: float
    insertion_random: float
    films: int
    passed: bool


@dataclass(frozen=True, slots=True)
class Pointing:
    """How a method's maps for one label did on frontal films with a radiologist's boxes (``benchmarks/boxes.py``).

    Attributes:
        films: how many.
        share: of them whose strongest place lies in a box, with its 95 % interval ``low`` to ``high``.
        typical: the same of a map that looks at no film, the mean box of the other films; area: of a blind point, the
            share of the film that the boxes take.
        precision: mean area under precision and recall of the map's values, place by place; typical_precision: of the
            mean box.
    """

    films: int
    share: float
    low: float
    high: float
    area: float
    typical: float
    precision: float
    typical_precision: float

    @property
    def localisable(self) -> bool:
        """Whether the interval of ``share`` lies above what a blind point scores."""
        return self.low > self.area


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Evidence of one method for one label.

    Attributes:
        method: one of ``lingula.explanation.METHODS``.
        label: code of the label explained.
        maps: one (rows, columns) float32 map per radiograph, in that radiograph's own pixels; empty without images.
            Signed attributions keep their sign; saliency maps are >= 0. Also empty where the label cannot be localised
            and its map was not asked for anyway.
        tokens: scores as character spans of the report's text; empty without text.
        signed: True for attributions, False for saliency.
        completeness_error: |sum of attributions - (output - baseline output)| / |output - baseline output| for
            contributions and Integrated Gradients, else None.
        trust: how the method did with this model; None where nobody tested it.
        pointing: how its maps for this label did on films with boxes; None where nobody measured that, or no film is
            read.
    """

    method: str
    label: str
    maps: tuple[npt.NDArray[np.float32], ...] = field(default=(), repr=False, metadata=HIDDEN)
    tokens: tuple[TokenScore, ...] = ()
    signed: bool = False
    completeness_error: float | None = None
    trust: Trust | None = None
    pointing: Pointing | None = None

    SHOWN: ClassVar = {"localisable": "localisable"}

    @property
    def localisable(self) -> bool | None:
        """Whether its maps were found to point at the finding; None where nobody measured it."""
        return self.pointing.localisable if self.pointing else None


Familiarity = Literal["known", "unlike", "not_chest"]
Projection = Literal["PA", "AP", "lateral"]


@dataclass(frozen=True, slots=True)
class FilmJudgement:
    """What the gate says of a film before anything else is said of it (``lingula.model.gate``).

    Attributes:
        familiarity: known, a chest film unlike those the model learnt from, or not a chest radiograph.
        projection: PA, AP (which a portable film is) or lateral, as the picture looks.
        chest, known: probabilities, [0, 1].
    """

    image_id: str
    familiarity: Familiarity
    projection: Projection
    chest: float
    known: float


@dataclass(frozen=True, slots=True)
class ShownFilm:
    """A film as an answer names it.

    Attributes:
        rows, columns: its size in pixels. attributes: as of ``Radiograph``.
        familiarity, projection, chest, known: what the gate says of it; None where no gate was asked.
        picture: where a server shows it; None elsewhere.
    """

    image_id: str
    view: View
    rows: int
    columns: int
    decoder: str
    attributes: Mapping[str, str]
    familiarity: Familiarity | None = None
    projection: Projection | None = None
    chest: float | None = None
    known: float | None = None
    picture: str | None = None

    @classmethod
    def of(cls, film: Radiograph, said: FilmJudgement | None = None) -> ShownFilm:
        rows, columns = film.pixels.shape
        shown = cls(film.image_id, film.view, rows, columns, film.decoder, dict(film.attributes))
        if said is None:
            return shown
        return replace(
            shown, familiarity=said.familiarity, projection=said.projection, chest=said.chest, known=said.known
        )


@dataclass(frozen=True, slots=True, eq=False)
class Analysis(JsonAnswer):
    """The whole answer to one question: findings, similar cases, evidence.

    Attributes:
        films: one judgement a film that was read; empty where no film was, or no gate was fitted for the model.
        case_id: under which a server holds it; None elsewhere.
    """

    study: Study = field(metadata=HIDDEN)
    mode: Mode
    predictions: tuple[Prediction, ...]
    neighbours: tuple[Neighbour, ...]
    explanations: tuple[Explanation, ...]
    model: str
    library: str
    notices: tuple[Notice, ...] = field(default=(), metadata=named("warnings"))
    seconds: float = 0.0
    films: tuple[FilmJudgement, ...] = field(default=(), metadata=HIDDEN)
    case_id: str | None = None

    SHOWN: ClassVar = {
        **{name: name for name in ("disclaimer", "study_id", "answerable", "familiarity", "report")},
        "films": "shown_films",
    }

    @property
    def familiarity(self) -> Familiarity | None:
        """Of the least familiar film that is a chest radiograph, where one is; None where no film was judged."""
        return least_familiar(self.films)

    @property
    def answerable(self) -> bool:
        """False where no film is a chest radiograph: what is said of findings then means nothing."""
        return self.familiarity != "not_chest"

    @property
    def disclaimer(self) -> str:
        return DISCLAIMER

    @property
    def study_id(self) -> str:
        return self.study.study_id

    @property
    def report(self) -> str | None:
        """The text of the report, of which token scores are spans."""
        return self.study.report.text if self.study.report else None

    @property
    def shown_films(self) -> tuple[ShownFilm, ...]:
        judged = {each.image_id: each for each in self.films}
        return tuple(ShownFilm.of(film, judged.get(film.image_id)) for film in self.study.radiographs)


def least_familiar(films: Iterable[FilmJudgement]) -> Familiarity | None:
    """The worst of the judgements of chest radiographs; ``not_chest`` where there are others alone; None of none."""
    judged = {film.familiarity for film in films}
    order: tuple[Familiarity, ...] = ("unlike", "known", "not_chest")
    return next((each for each in order if each in judged), None)


def unique_notices(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Each notice once, in the order first met."""
    return tuple(dict.fromkeys(notices))
