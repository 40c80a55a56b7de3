"""The words of a document in the Rich Text Format (Microsoft, version 1.9.1)."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
_SILENT_GROUPS = (
    "fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf "
    "footnote generator listtable listoverridetable rsidtbl xmlnstbl themedata colorschememapping datastore "
    "latentstyles fldinst bkmkstart bkmkend filetbl revtbl private comment annotation pntext"
)
_SILENT = frozenset(_SILENT_GROUPS.split())
"""Groups whose text is not the document's."""
_CHARACTERS = {
    "par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": "\t", "cell": " ", "emdash": "-",
    "endash": "-", "lquote": "'", "rquote": "'", "ldblquote": '"', "rdblquote": '"', "bullet": "\u2022", "emspace": " ",
    "enspace": " ", "qmspace": " ", "softline": "\n",
}  # fmt: skip
_SYMBOLS = {"~": " ", "_": "-", "-": "", "\n": "\n", "\r": "\n", "{": "{", "}": "}", "\\": "\\"}
_CODE_PAGES = {10000: "mac_roman", 65001: "utf-8", 0: "cp1252", 42: "cp1252"}


def text_of_rtf(document: str) -> str:
    """The text of a document; formatting, pictures, fields' codes and groups it need not know are left out.

    Groups are followed with a stack of its own, so that depth costs memory in proportion to the length and no more.
    """
    words: list[str] = []
    stack: list[tuple[bool, int]] = []
    silent, unicode_skip, skip, page = False, 1, 0, "cp1252"
    for token in _TOKEN.finditer(document):
        word, number, byte, symbol, brace, plain = token.groups()
        if brace:
            if brace == "{":
                stack.append((silent, unicode_skip))
            elif stack:
                silent, unicode_skip = stack.pop()
            skip = 0
        elif word == "bin" or symbol == "*" or word in _SILENT:
            silent = True
        elif word == "ansicpg" and number:
            page = _code_page(int(number))
        elif word == "uc":
            unicode_skip = int(number or 1)
        elif word == "u" and number:
            skip = unicode_skip
            if not silent:
                words.append(chr(int(number) % 0x10000))
        elif byte or symbol or plain or word in _CHARACTERS:
            said = _said(word, byte, symbol, plain, page)
            dropped = min(skip, len(said))
            skip -= dropped
            if not silent:
                words.append(said[dropped:])
    return "".join(words).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _said(word: str | None, byte: str | None, symbol: str | None, plain: str | None, page: str) -> str:
    if byte:
        return bytes.fromhex(byte).decode(page, "replace")
    if symbol:
        return _SYMBOLS.get(symbol, "")
    return plain or _CHARACTERS.get(word or "", "")


def _code_page(number: int) -> str:
    name = _CODE_PAGES.get(number, f"cp{number}")
    try:
        b"a".decode(name)
    except LookupError:
        return "cp1252"
    return name
