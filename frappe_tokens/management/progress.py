"""A progress bar for commands that take a while."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper


@contextmanager
def progress_bar(
    stream: OutputWrapper, total: int, verbosity: int
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if ``stream`` is a terminal and ``verbosity`` is not 0.

    ``with progress_bar(self.stderr, total, options["verbosity"]) as show: show(250)``
    """
    if not (total and verbosity and stream.isatty()):
        yield lambda done: None
        return
    drawn = ""

    def draw(text: str) -> None:
        # Without the colour of errors.
        stream.write(f"\r{text}", style_func=str, ending="")
        stream.flush()

    def show(done: int) -> None:
        nonlocal drawn
        # Some rows are new since they were counted.
        done = min(done, total)
        numbers = f" {done:,}/{total:,}"
        # Some terminals start a new line after the last column.
        width = max(shutil.get_terminal_size().columns - len(numbers) - 3, 1)
        before, drawn = drawn, f"[{'#' * (width * done // total):<{width}}]{numbers}"
        # The window may have become narrower.
        draw(drawn.ljust(len(before)))

    show(0)
    try:
        yield show
    finally:
        draw(" " * len(drawn) + "\r")
