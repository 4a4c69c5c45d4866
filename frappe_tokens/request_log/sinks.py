"""Where entries of the request log go: the interface, and the one that ``REQUEST_LOG`` names."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import conf
from .entries import Entry

_NAMED = {
    "durable": "frappe_tokens.request_log.durable.DurableSink",
    "buffered": "frappe_tokens.request_log.buffered.BufferedSink",
    "null": "frappe_tokens.request_log.sinks.NullSink",
}


class Sink:
    """Takes entries. A project's own extends this, and is made once a process, without arguments.

    Attributes:
        blocks: whether :meth:`write` may wait, for a database or a network. An async server then
            calls it in a thread.
    """

    blocks = True

    def write(self, entry: Entry) -> None:
        """Take ``entry``, from any thread. Errors are logged and never reach the request."""
        raise NotImplementedError

    def flush(self) -> None:
        """Return when all that was written until now is where it belongs, or raise."""

    def close(self) -> None:
        """The server stops: write what there is, and end what runs. Entries may come still."""
        self.flush()


class NullSink(Sink):
    """Keeps nothing."""

    blocks = False

    def write(self, entry: Entry) -> None:
        """Do nothing."""


_made: dict[str, Sink] = {}


def current_sink() -> Sink:
    """The sink that ``REQUEST_LOG`` names now.

    Raises:
        ImproperlyConfigured: it names none.
    """
    name = conf.REQUEST_LOG
    try:
        return _made[name]
    except KeyError:
        # Two threads may both make one: the first stays.
        return _made.setdefault(name, make_sink(name))


def make_sink(name: str) -> Sink:
    """A new sink of the kind ``name``.

    Raises:
        ImproperlyConfigured: there is none.
    """
    try:
        sink = import_string(_NAMED.get(name, name))()
    except Exception as error:
        raise ImproperlyConfigured(
            f"FRAPPE_TOKENS['REQUEST_LOG'] is {name!r}, which cannot be used: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(sink, Sink):
        raise ImproperlyConfigured(
            f"FRAPPE_TOKENS['REQUEST_LOG'] is {name!r}, which does not extend "
            "frappe_tokens.request_log.Sink."
        )
    return sink
