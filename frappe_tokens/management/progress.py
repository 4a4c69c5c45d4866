"""A progress bar for long commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size

from django.core.management.base import OutputWrapper

WIDTH = 40  # characters


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

    def draw(text: str) -> None:
        # Not in the color of errors.
        stream.write(f"\r{text}", style_func=str, ending="")
        stream.flush()

    def show(done: int) -> None:
        # Rows may have been added since they were counted.
        done = min(done, total)
        numbers = f"{done:,}/{total:,}"
        # Some terminals start a new line after the last column.
        width = max(min(WIDTH, get_terminal_size().columns - len(numbers) - 4), 1)
        draw(f"[{'#' * (width * done // total):<{width}}] {numbers}")

    show(0)
    try:
        yield show
    finally:
        room = get_terminal_size().columns - 1
        draw(" " * min(WIDTH + len(f"[] {total:,}/{total:,}"), room) + "\r")
