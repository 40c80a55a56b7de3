"""The one tokenisation: a report's sections to token ids, each with its place in the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingula.labels.assertion_rules import asserted_findings
from lingula.labels.assertions import STRENGTH, Assertion, read_assertions
from lingula.labels.sentences import sentences
from lingula.model.canonical import canonical
from lingula.study import Report, Section, SectionName

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
MOST_WINDOWS = 4
"""Windows of tokens in which one report is read."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised report.

    Attributes:
        ids: token ids, ``[CLS] section [SEP] section [SEP]``, markers among the words (``ReportTokenizer``).
        spans: for each id its (start, end) in ``report.text``; of a marker, those of the words that name the finding;
            (0, 0) for special tokens.
        cut: whether something that the report asserts, other than absence, was left out.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    cut: bool

    @property
    def is_word(self) -> tuple[bool, ...]:
        return tuple(end > start for start, end in self.spans)


class ReportTokenizer:
    """Reads the sections a model was trained on, in its order, and keeps every token's place in the report.

    Where the vocabulary has them, a marker follows the words that name a finding and tells how the report means it
    (``[pleural_effusion absent]``, see ``read_assertions``): a small encoder needs not learn what negation is. Markers
    are whole vocabulary entries that no text can spell, as brackets are words of their own.

    Args:
        tokenizer: a ``tokenizers.Tokenizer`` (``tokenizer.json`` of a checkpoint or of any fast tokenizer).
        sections: which sections are read, in this order.
        length: tokens that one window holds, special ones included.
    """

    def __init__(self, tokenizer: Any, sections: tuple[SectionName, ...], length: int) -> None:
        self._tokenizer, self.sections, self.length = tokenizer, sections, length
        self._cls, self._sep = self._special(CLS, "<s>"), self._special(SEP, "</s>")
        self.pad, self.mask = self._special(PAD, "<pad>"), self._special(MASK, "<mask>")
        self._unknown = tokenizer.token_to_id(UNKNOWN)
        self._marked = any(tokenizer.token_to_id(marker) is not None for marker in _markers())

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        sections: tuple[SectionName, ...],
        length: int,
        vocabulary: int,
        markers: bool = False,
    ) -> ReportTokenizer:
        """Learn a lower-case WordPiece vocabulary from report texts; the same texts give the same vocabulary.

        Args:
            vocabulary: most entries, markers included.
            markers: whether the vocabulary has them.

        The trainer numbers the continuing characters (``##a``) in the order of a hash map, which differs from process
        to process and decides ties between merges. Naming them in advance, in order, leaves nothing to chance.
        """
        from tokenizers import models, normalizers, trainers

        marked = _markers() if markers else []
        texts, special = list(texts), [PAD, UNKNOWN, CLS, SEP, MASK]
        normalizer = normalizers.BertNormalizer(lowercase=True)
        characters = sorted({c for text in texts for c in normalizer.normalize_str(text) if not c.isspace()})
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocabulary - len(marked),
            min_frequency=3,
            special_tokens=special + [f"##{c}" for c in characters],
            show_progress=False,
        )
        learner = _bert_tokenizer(models.WordPiece(unk_token=UNKNOWN))
        learner.train_from_iterator(texts, trainer)
        entries = learner.get_vocab()
        entries |= {marker: len(entries) + place for place, marker in enumerate(marked)}
        tokenizer = _bert_tokenizer(models.WordPiece(vocab=entries, unk_token=UNKNOWN))
        tokenizer.add_special_tokens(special)
        return cls(tokenizer, sections, length)

    @classmethod
    def load(cls, path: Path, *, sections: tuple[SectionName, ...], length: int) -> ReportTokenizer:
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(path)), sections, length)

    def save(self, path: Path) -> None:
        self._tokenizer.save(str(path))

    def _special(self, *names: str) -> int:
        """BERT's name of a special token, or RoBERTa's."""
        found = [number for name in names if (number := self._tokenizer.token_to_id(name)) is not None]
        if not found:
            raise ValueError(f"the tokenizer has no {names[0]}")
        return int(found[0])

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def knows(self, report: Report) -> bool:
        """Whether it knows any word of the sections it reads."""
        tokens = self(report)
        return any(word and number != self._unknown for number, word in zip(tokens.ids, tokens.is_word, strict=True))

    def __call__(self, report: Report) -> Tokens:
        """The report's tokens, no more than ``length`` where it needs no more.

        Of a longer report the impression is read, and those sentences of the findings that name something present or
        possible, in windows of ``length`` tokens where they need more than one; what is denied, or names nothing, is
        left out, as it is in a short report. Where nothing is present, what fits is read.
        """
        said = read_assertions(report)
        ids, spans = self._laid_out([(part, part) for part in report.sections], report, said)
        if len(ids) <= self.length:
            return Tokens(tuple(ids), tuple(spans), False)
        chosen, cut = self._chosen(report, said)
        ids, spans = self._laid_out(chosen, report, said)
        most = self.length * MOST_WINDOWS
        if len(ids) > most:
            ids, spans, cut = [*ids[: most - 1], self._sep], [*spans[: most - 1], (0, 0)], True
        return Tokens(tuple(ids), tuple(spans), cut)

    def _laid_out(
        self, pieces: Sequence[tuple[Section, Section]], report: Report, said: Sequence[Assertion]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """``[CLS] section [SEP] section [SEP]`` of pieces, each with the section it is of, in this reader's order."""
        ids, spans = [self._cls], [(0, 0)]
        markers = self._markers_of(said)
        for name in self.sections:
            last = None
            for whole, piece in pieces:
                if piece.name != name:
                    continue
                if last is not None and last is not whole:
                    ids.append(self._sep)
                    spans.append((0, 0))
                last = whole
                for number, span in self._words(report, piece, said, markers):
                    ids.append(number)
                    spans.append(span)
            if last is not None:
                ids.append(self._sep)
                spans.append((0, 0))
        return ids, spans

    def _chosen(self, report: Report, said: Sequence[Assertion]) -> tuple[list[tuple[Section, Section]], bool]:
        """The sentences that are read of a long report, with their sections; and whether what asserts is left out."""
        pieces = [
            (part, Section(part.name, start, end))
            for part in report.sections
            if part.name in self.sections
            for start, end in sentences(report.text, part.start, part.end)
        ]
        told = [each for each in said if each.polarity != "absent" and not each.past and each.finding != "normal"]
        positive = [any(p.start <= each.start and each.end <= p.end for each in told) for _, p in pieces]
        first = [
            piece.name == "impression" or (piece.name == "findings" and stands)
            for (_, piece), stands in zip(pieces, positive, strict=True)
        ]
        if any(positive):
            return [piece for piece, wanted in zip(pieces, first, strict=True) if wanted], False
        return self._filled(report, pieces, first, said)

    def _filled(
        self,
        report: Report,
        pieces: Sequence[tuple[Section, Section]],
        first: Sequence[bool],
        said: Sequence[Assertion],
    ) -> tuple[list[tuple[Section, Section]], bool]:
        """The pieces that come first and, of the others, as many as one window holds."""
        sizes = [len(self._laid_out([piece], report, said)[0]) - 2 for piece in pieces]
        room = (
            self.length
            - 1
            - len(self.sections)
            - sum(size for size, wanted in zip(sizes, first, strict=True) if wanted)
        )
        kept, cut = list(first), False
        for at, (_, piece) in enumerate(pieces):
            if kept[at]:
                continue
            kept[at] = sizes[at] <= room
            room -= sizes[at] * kept[at]
            cut |= not kept[at] and piece.name == "findings"
        asserts = any(
            each.polarity != "absent" for each in said if each.section == "findings" and each.finding != "normal"
        )
        return [piece for piece, wanted in zip(pieces, kept, strict=True) if wanted], cut and asserts

    def _markers_of(self, said: Sequence[Assertion]) -> list[tuple[int, tuple[int, int]]]:
        """The report's markers, (id, span), in the order in which their words end; of an unmarked vocabulary none."""
        if not self._marked:
            return []
        ordered = sorted(said, key=lambda each: each.end)
        found = [(self._tokenizer.token_to_id(_marker(each)), (each.start, each.end)) for each in ordered]
        return [(number, span) for number, span in found if number is not None]

    def _words(
        self,
        report: Report,
        part: Section,
        said: Sequence[Assertion],
        markers: Sequence[tuple[int, tuple[int, int]]],
    ) -> Iterator[tuple[int, tuple[int, int]]]:
        """A section's tokens, (id, span), each marker after the last of its words."""
        plain = canonical(report.text, part.start, part.end, said)
        encoding = self._tokenizer.encode(plain.text, add_special_tokens=False)
        inside = [marker for marker in markers if part.start <= marker[1][0] and marker[1][1] <= part.end]
        waiting = sorted(((plain.after(*span), number, span) for number, span in inside), key=lambda each: each[0])
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            while waiting and waiting[0][0] <= start:
                yield waiting.pop(0)[1:]
            yield number, plain.span(start, end)
        for _, number, span in waiting:
            yield number, span


def _marker(assertion: Assertion) -> str:
    return f"[{assertion.finding} {'past' if assertion.past else assertion.polarity}]"


def _markers() -> list[str]:
    return [f"[{finding} {how}]" for finding in asserted_findings() for how in (*STRENGTH, "absent", "past")]


def _bert_tokenizer(model: Any) -> Any:
    """Lower case, split at spaces and punctuation, as BERT does."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
