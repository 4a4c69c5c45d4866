"""What a part found, on the terminal and in ``results.md``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from textwrap import fill

RESULTS = Path(__file__).with_name("results.md")

HEAD = """# Results

Written by `make trust`, one section for each part. [README.md](README.md) says what is tried and
how to read it.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A promise, and how it fared.

    Attributes:
        promise: what must hold, as a sentence.
        tried: how often it was tried.
        failed: how often it did not hold.
        shown_by: what repeats it: a seed, or a command.
        before: how often it failed before it was mended, if it ever did.
    """

    promise: str
    tried: int
    failed: int
    shown_by: str = ""
    before: str = ""


@dataclass(slots=True)
class Report:
    """The result of a part. ``notes`` are paragraphs of Markdown below the table."""

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every promise was tried and kept."""
        return bool(self.rows) and all(row.tried and not row.failed for row in self.rows)

    def text(self) -> str:
        """For a terminal of 100 columns."""
        lines = [self.title, "-" * len(self.title)]
        for row in self.rows:
            outcome = ("BROKEN" if row.failed else "kept") if row.tried else "NOT TRIED"
            lines.append(fill(f"{outcome}: {row.promise}", 100, subsequent_indent="  "))
            lines.append(f"  tried {row.tried:,}, failed {row.failed:,}  {row.shown_by}".rstrip())
        notes = [note if note.startswith("|") else fill(note, 100) for note in self.notes]
        return "\n".join([*lines, "", *notes]) + "\n"

    def markdown(self) -> str:
        """For a file, below a heading of the second level."""
        lines = [
            "| Promised | Tried | Failed | Failed before | Shown by |",
            "|---|---:|---:|---|---|",
        ]
        for row in self.rows:
            shown_by = f"`{row.shown_by}`" if row.shown_by else ""
            lines.append(
                f"| {row.promise} | {row.tried:,} | {row.failed:,} | {row.before} | {shown_by} |"
            )
        return "\n\n".join(["\n".join(lines), *self.notes]) + "\n"


def write(report: Report, path: Path = RESULTS) -> None:
    """Replace the section of ``report`` in the file; keep the others."""
    text = path.read_text() if path.exists() else HEAD
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    by_title = {section.partition("\n")[0]: f"{section.rstrip()}\n\n" for section in sections}
    day = f"{date.today():%Y-%m-%d}"
    by_title[report.title] = f"{report.title}\n\nTried on {day}.\n\n{report.markdown()}\n"
    ordered = [by_title[title] for title in sorted(by_title)]
    path.write_text("## ".join([head.rstrip() + "\n\n", *ordered]).rstrip() + "\n")
