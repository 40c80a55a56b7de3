"""Text as a word processor, a PDF or another program left it, set in plain characters before anything reads it.

Done once, when a report is read: what is shown, and what spans refer to, is the text that comes out.
"""

from __future__ import annotations

import re

_INVISIBLE = dict.fromkeys(
    [0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070),
     *range(0xFE00, 0xFE10), *range(0xFFF9, 0xFFFC), *range(0x00, 0x09), *range(0x0E, 0x20), *range(0x7F, 0x85),
     *range(0x86, 0xA0)]
)  # fmt: skip
_BREAKS = dict.fromkeys([0x0B, 0x0C, 0x85, 0x2028, 0x2029], "\n")
_SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_QUOTES = dict.fromkeys([0x2018, 0x2019, 0x201A, 0x201B, 0x2032, 0x02BC, 0xB4, 0x60], "'") | dict.fromkeys(
    [0x201C, 0x201D, 0x201E, 0x201F, 0x2033], '"'
)
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63], "-")
_LIGATURES = dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
_WIDE = {0xFF01 + offset: chr(0x21 + offset) for offset in range(0x5E)}
_PLAIN = _BREAKS | _SPACES | _QUOTES | _DASHES | _LIGATURES | _WIDE | {0x2026: "."} | _INVISIBLE

_MISREAD = re.compile("\u00c3[\u0080-\u00bf]|\u00e2\u20ac|\u00c2[\u00a0-\u00bf]|\u00ef\u00ac")
_SPLIT_WORD = re.compile(r"(?<![\w-])([a-z]{2,}|[A-Z]{2,})-[ \t]*\n[ \t]*(?=([a-z]{2,}|[A-Z]{2,}))")
_FIRST_HALVES = (
    "left right upper lower mid low high well ill air fluid small moderate large mild long short follow post pre "
    "x soft non bi multi peri para sub supra infra end dual single two three semi ap pa heart lung rib half fine "
    "findings impression conclusion indication history technique comparison exam recommendation"
)
_HYPHENATED = frozenset(_FIRST_HALVES.split())
"""First halves that keep their hyphen ("left-", "sided"), and headings."""
_LINE_GAP = re.compile(r"(?<=[^\s.:;!?])[ \t]*\n[ \t]*\n\s*(?=[a-z])")


def plain_text(text: str) -> str:
    """The same words in plain characters.

    Ligatures are spelt out, quotes, dashes and spaces are those of a keyboard, what has no width is gone, line ends are
    ``\\n``; a word hyphenated over two lines is whole again, and a blank line inside a sentence is none. UTF-8 that was
    read as Windows-1252 ("isnâ€™t") is read again.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _read_again(text).replace("\r\n", "\n").replace("\r", "\n").replace("\u00ad\n", "").translate(_PLAIN)
    return _LINE_GAP.sub("\n", _SPLIT_WORD.sub(_joined, text))


def _read_again(text: str) -> str:
    if not _MISREAD.search(text):
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


def _joined(split: re.Match[str]) -> str:
    first, second = split[1], split[2]
    if first.isupper() != second.isupper():
        return split[0]
    return first + "-" if first.lower() in _HYPHENATED else first
