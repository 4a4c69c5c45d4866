"""Sends each request with an error at each place, and looks at what was told of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .driver import Site
from .search import Findings, Outlets
from .ways import Way

KINDS = ("database", "cache", "mail", "view", "receiver")

SERVERS = {
    "sync": (
        *("gunicorn", "trust.canaries.wsgi:application", "--bind=fd://{fd}", "--workers=1"),
        *("--no-control-socket", "--timeout=600"),
    ),
    "async": ("daphne", "--fd", "{fd}", "trust.canaries.asgi:application"),
}


@dataclass
class Round:
    """One server with one value of DEBUG. A line is tried in the first way that runs it."""

    site: Site
    outlets: Outlets
    findings: Findings
    seen: set[str] = field(default_factory=set)
    raised: Counter[str] = field(default_factory=Counter)

    def send(self, ways: Iterable[Way], name: str) -> None:
        for way in ways:
            self._send(way, name)
            print(f"{name}: {way.name}: {sum(self.raised.values()):,} requests", file=sys.stderr)

    def _send(self, way: Way, name: str) -> None:
        # The first one fills the caches.
        for _ in range(2):
            way.prepare()
            way.send("count")
        places = self.site.places()
        lines = [place for place in places["lines"] if place not in self.seen]
        self.seen |= {*lines}
        plan = ["", *(f"line:{place}" for place in lines)]
        plan += [f"{kind}:{n + 1}" for kind in KINDS for n in range(places.get(kind, 0))]
        for fault in plan:
            way.prepare()
            answer = way.send(fault)
            self.raised[fault.partition(":")[0]] += 1
            text = answer.headers + answer.body
            if not (way.gives and answer.status < 400):
                self.findings.look("pages", text, f"{name}, {way.name}, {fault}")
        self.site.send("GET", "/trust/flush/")
        self.look(f"{name}, {way.name}")

    def look(self, what: str) -> None:
        for place, text in self.outlets.new():
            self.findings.look(place, text, what)
