"""A progress bar for commands that take a while."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(stream: Any, total: int, verbosity: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, cleared at the end, and nothing where the output goes elsewhere.

    ``with progress_bar(self.stderr, total, options["verbosity"]) as advance: advance(250)``

    Args:
        stream: the command's ``stderr``, so that ``stdout`` has the results alone.
        total: how much there is to do.
        verbosity: the command's; 0 is silent.
    """
    if not (total and verbosity and stream.isatty()):
        yield lambda count: None
        return
    done, drawn = 0, ""

    def draw(text: str) -> None:
        # Neither in the colour of errors nor with a line's end.
        stream.write(f"\r{text}", style_func=str, ending="")
        stream.flush()

    def advance(count: int) -> None:
        nonlocal done, drawn
        done += count
        numbers = f" {done:,}/{total:,}"
        # A character in the last column would make some terminals begin a new line.
        width = max(shutil.get_terminal_size().columns - len(numbers) - 3, 1)
        before, drawn = drawn, f"[{'#' * (width * done // total):<{width}}]{numbers}"
        # The window may have been made narrower.
        draw(drawn.ljust(len(before)))

    advance(0)
    try:
        yield advance
    finally:
        draw(" " * len(drawn) + "\r")
