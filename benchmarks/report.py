"""Tables, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import fill

from .measure import Figure


@dataclass(slots=True)
class Table:
    """The results of a group. Without rows, its notes say why it was skipped."""

    title: str
    columns: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal of 100 columns."""
        lines = [self.title, "-" * len(self.title)]
        lines += ["  ".join(cells).rstrip() for cells in self._aligned()]
        return "\n".join([*lines, *map(wrapped, self.notes)]) + "\n"

    def markdown(self) -> str:
        """For a file, below a heading of the second level."""
        lines = [f"### {self.title}", ""]
        if self.rows:
            first, *others = ["| " + " | ".join(cells) + " |" for cells in self._aligned()]
            rule = "|".join(["---", *["---:"] * (len(self.columns) - 1)])
            lines += [first, f"|{rule}|", *others, ""]
        for note in self.notes:
            lines += [note, ""]
        return "\n".join(lines)

    def _aligned(self) -> list[list[str]]:
        """The first column to the left, the others to the right."""
        if not self.rows:
            return []
        every = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*every, strict=True)]
        return [
            [
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            for row in every
        ]


def wrapped(text: str) -> str:
    """For a terminal of 100 columns."""
    return fill(text, 100, subsequent_indent="  ", break_on_hyphens=False)


def quartiles(figure: Figure, digits: int = 0) -> str:
    """``low-high``."""
    return f"{figure.low:.{digits}f}-{figure.high:.{digits}f}"


def whole_and_ratio(whole: Figure, ratio: Figure) -> tuple[str, str, str, str]:
    """The cells of a whole request and of its multiple of another, each with its quartiles."""
    return f"{whole.middle:.0f}", quartiles(whole), f"{ratio.middle:.3f}", quartiles(ratio, 2)
