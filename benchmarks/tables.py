"""How a figure and a table are written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any


def figure(value: float) -> str:
    """Three digits, and no more than are known: 1.23, 12.3, 123, 1234."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(value: float | None) -> str:
    """A ratio of the best other to fastrnn; a loss in bold, nothing when there is none."""
    text = f"{value:.2f}" if value else ""
    return f"**{text}**" if value and value < 1 else text


def percent(value: float | None) -> str:
    """A share."""
    return "" if value is None else f"{value:.0%}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], words: int = 1) -> list[str]:
    """A table in Markdown and an empty line: the first `words` columns hold words, the others figures.

    A float is written by `figure`, None is an empty cell; without rows there is no table.
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * words + "--:|" * (len(head) - words)]
    for row in rows:
        cells = ["" if v is None else figure(v) if isinstance(v, float) else str(v) for v in row]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""] if len(lines) > 2 else []


def paragraph(text: str) -> list[str]:
    """Lines of a hundred characters and an empty line."""
    return [*textwrap.wrap(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False), ""]
