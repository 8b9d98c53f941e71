"""Names as statements write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.scripts.tokens import is_word

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def folded(token: str) -> str | None:
    """Give the name a token stands for; None for a sign, a number or a string.

    Quotes are removed; without quotes, ASCII letters become lower case and others stay, as the server does it.
    """
    if token[:1] == '"':
        return token[1:-1].replace('""', '"')
    return token.translate(_LOWER) if token and is_word(token) else None


def name_at(symbols: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    """Read a name, qualified or not, from tokens: its parts, and where it ends. No parts where there is none.

    `U&"…"` is no name here: what it stands for is written in escapes.
    """
    parts: list[str] = []
    while at < len(symbols):
        part = folded(symbols[at])
        following = symbols[at + 1] if at + 1 < len(symbols) else ""
        if part is None or following == "&":
            return (), at
        parts.append(part)
        if following != ".":
            return tuple(parts), at + 1
        at += 2
    return (), at
