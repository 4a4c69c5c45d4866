"""Secrets come in by every way, errors are raised everywhere, and the secrets are searched for."""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

from ..canaries.driver import Site, new_site
from ..canaries.receiver import Receiver, receiving
from ..report import Report, Row

if TYPE_CHECKING:
    from ..canaries.planted import Planted
    from ..canaries.search import Findings

# Of the ways, those that are enough to see that the search itself works.
QUICK = {"DRF, token", "DRF, Basic", "RPC, generate", "leaked, pair", "OAuth, refresh"}

# The server, DEBUG, and Sentry's send_default_pii.
ROUNDS = [("sync", "0", "0"), ("sync", "1", "1"), ("async", "0", "1"), ("async", "1", "0")]

PROMISES = [
    (
        "No log record has a secret, but for codes in Django's SQL statements with `DEBUG`",
        "log server",
    ),
    ("No variable in a traceback with local variables shows an API secret", "variables"),
    ("No response and no page about an error has a secret, but in the form that was sent", "pages"),
    ("No mail about an error or a key has a secret, but in the form that was sent", "mails"),
    ("No event that Sentry receives by `without_secrets` has a secret, with variables", "Sentry"),
    ("No span that OpenTelemetry exports has a secret", "OpenTelemetry"),
    ("No row of any table has a secret, but for the toolkit's table of codes", "tables"),
    ("No entry of the cache has a secret", "caches"),
    ("No page of the admin, list of keys or OpenAPI document has a secret", "shown"),
    ("No command prints a secret that it was given, with an error in any function", "commands"),
    ("No secret is in the arguments or the environment of a worker or a command", "processes"),
    (
        "After requests without an error, no object in a worker refers to an API secret, an "
        "access token or a client secret",
        "held",
    ),
]

# By the places of PROMISES.
BEFORE = {
    "variables": "where checksums, Base64, leaked tokens, programs, CSV and pairs are made or read",
    "pages": "with `DEBUG`, as in tracebacks; codes and tokens sent to OAuth 2 URLs",
    "mails": "codes and tokens sent to OAuth 2 URLs; what `generate_keys` is about to print",
    "Sentry": "as in tracebacks; and the CSV file of the admin in each trace",
}

SHOWN = [
    *("/admin/", "/admin/frappe_tokens/apikey/", "/admin/frappe_tokens/apirequestlog/"),
    *("/admin/oauth2_provider/application/", "/admin/oauth2_provider/accesstoken/"),
    *("/account/api-keys/", "/api/keys/", "/api/schema/"),
]


def run(*, quick: bool) -> Report:
    with receiving() as receiver, new_site(receiver.url) as site:
        return _run(site, receiver, quick)


def _run(site: Site, receiver: Receiver, quick: bool) -> Report:
    # After Django's set-up.
    from ..canaries import processes
    from ..canaries.planted import Planted
    from ..canaries.requests import SERVERS, Round
    from ..canaries.search import Findings, Outlets, cached, rows
    from ..canaries.ways import ways

    planted, findings = Planted(site), Findings()
    outlets = Outlets(site.directory, receiver)
    every = [way for way in ways(site, planted) if not quick or way.name in QUICK]
    raised: Counter[str] = Counter()
    for server, debug, pii in ROUNDS[: 1 if quick else None]:
        with site.serving(*SERVERS[server], DJANGO_DEBUG=debug, TRUST_PII=pii):
            one = Round(site, outlets, findings)
            name = f"{server}, DEBUG={debug}"
            one.send([way for way in every if way.server == server], name)
            raised += one.raised
    # A new worker, because Django and Sentry keep the last error, with its variables.
    with site.serving(*SERVERS["sync"]):
        raised["place of a command"] += processes.commands(
            site, findings, ["generate_keys --secret-file"] if quick else []
        )
        notes = _at_the_worker(site, planted, findings)
    for place, text in outlets.new():
        findings.look(place, text, "a new worker and commands")
    for table, text in rows():
        findings.look("tables", text, table)
    for text in cached(site.directory):
        findings.look("caches", text, "")
    return Report("Canaries", _rows(findings), [*_notes(findings, raised), *notes])


def _at_the_worker(site: Site, planted: Planted, findings: Findings) -> list[str]:
    """Look at the worker of the running server, which ends with it."""
    from ..canaries import processes
    from ..canaries.ways import ways

    worker: int = site.send("GET", "/trust/pid/").json()["pid"]
    for path in [
        *SHOWN,
        *(
            f"/admin/frappe_tokens/apikey/{planted.own_key.pk}/{page}/"
            for page in ("change", "history")
        ),
    ]:
        answer = site.send("GET", path, user="root")
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}.")
        findings.look("shown", answer.headers + answer.body, path)
    processes.arguments(site, planted, findings, worker)
    for way in ways(site, planted):
        if way.server == "sync":
            way.prepare()
            body = way.send("").body
            if way.name == "REST, rotate":
                (planted.last_secret,) = re.findall(r"fts_\w{49}", body)
    site.send("GET", "/trust/flush/")
    processes.held(site, findings)
    return processes.memory(site, planted, worker)


def _rows(findings: Findings) -> list[Row]:
    rows = []
    for promise, places in PROMISES:
        tried, failed = findings.number(*places.split())
        rows.append(Row(promise, tried, failed, "make trust PART=canaries", BEFORE.get(places, "")))
        for place in places.split():
            for way, secret, before in findings.found.get(place, [])[:10]:
                print(f"{place}: {way}: {before[-100:]!r} {secret[:8]}", file=sys.stderr)
    return rows


def _notes(findings: Findings, raised: Counter[str]) -> list[str]:
    errors = ", ".join(f"{number:,} at a {kind}" for kind, number in raised.items() if kind)
    _, codes = findings.number("known in tables")
    _, logged = findings.number("known in log")
    referred = Counter(secret[:8] for _, secret, _ in findings.found.get("known in held", []))
    forms, shown = findings.number("forms")
    _, variables = findings.number("variables of the toolkit")
    return [
        f"Errors were raised {errors}. A line is the last one that a function of the app runs; "
        "each was tried in the first way that runs it, with each server and each value of `DEBUG`. "
        "Left out is `hidden` in frappe_tokens/api/fields.py, whose variable has a leaked token, "
        "and none of whose lines can fail.",
        "What is known, and said in docs/understand/threat-model.md: "
        f"there were {codes:,} codes in the toolkit's "
        f"table, and {logged:,} in Django's log of its statements with `DEBUG`; {shown:,} secrets "
        f"in forms, on {forms:,} pages and in mails about errors; "
        f"{variables:,} in variables of requests to OAuth 2 URLs, where a traceback has them. "
        f"Objects of a worker referred to {referred['canaryAC']:,} codes and "
        f"{referred['canaryRT']:,} refresh tokens: urllib caches the URLs that it has split.",
        "After an error, a worker does refer to secrets: Django keeps the last error of a "
        "transaction (`rollback_exc` of the connection) with the variables of its frames, until "
        "the next one, and Sentry the last error of a built-in type.",
    ]
