"""Shows where the time of an authenticated request goes.

Only this part of the benchmarks calls private functions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from rest_framework.request import Request

from frappe_tokens import credentials, lookup, verification
from frappe_tokens.authentication import TokenAuthentication
from frappe_tokens.lookup.statement import statement_for
from frappe_tokens.models import ApiKey

from . import contenders
from .contenders import Contender
from .measure import Probe, Timings, Trial, interleave
from .report import Table, quartiles
from .requests import make_request, probe_of

# Each is the time of the first function less the others.
STAGES = [
    ("parse the header", "parse", ()),
    ("fetch the row by the statement", "statement", ()),
    ("build the instances, find the statement", "find", ("statement",)),
    ("decide: digests, policies, last use", "verify", ("find",)),
    ("DRF's class around it", "authenticate", ("parse", "verify")),
    ("DRF's request and permission", "frappe_tokens", ("open view", "authenticate")),
]


def measure(rounds: int) -> list[Table]:
    """Return the table of the stages, each timed ``rounds`` times."""
    ours = contenders.frappe_tokens(contenders.make_user("ada"))
    calls = _calls(ours)
    probes = [Probe(name, partial(Trial, call)) for name, call in calls.items()]
    probes += [
        Probe("authenticate", partial(_authentication, ours)),
        probe_of(ours),
        probe_of(contenders.opened()),
    ]
    timings = interleave(probes, rounds)
    return [_table(timings)]


def _calls(ours: Contender) -> dict[str, Any]:
    """Return the functions that need no new arguments for each trial."""
    header = ours.headers["HTTP_AUTHORIZATION"]
    credential = credentials.parse(header, "token")
    if credential is None:
        raise TypeError("The parser doesn't know our own header.")
    info = verification.RequestInfo(make_request(ours.headers))
    find = partial(lookup.find, ApiKey, credential.api_key)
    connection = connections[DEFAULT_DB_ALIAS]
    statement = statement_for(ApiKey, connection.alias)
    if statement is None:
        raise TypeError("There is no prepared statement for our own model.")
    return {
        "parse": partial(credentials.parse, header, "token"),
        "statement": partial(statement.fetch, connection, credential.api_key),
        "find": find,
        "verify": partial(verification.verify, credential, info),
    }


def _authentication(ours: Contender) -> Trial:
    request = ours.view().initialize_request(make_request(ours.headers))
    authenticator = TokenAuthentication()
    authenticate: Any = partial(authenticator.authenticate, _as_if_in_view(request))
    return Trial(authenticate)


def _as_if_in_view(request: Request) -> Request:
    """The view has ``headers`` after its first call."""
    view = request.parser_context["view"]
    view.headers = view.default_response_headers
    return request


def _table(timings: Timings) -> Table:
    table = Table("Where our own time goes, one request", ("", "us", "quartiles", "part"))
    whole = timings.above("frappe_tokens", "open view")
    for title, name, less in STAGES:
        taken = timings.above(name, *less)
        part = f"{taken.middle / whole.middle:.0%}"
        table.rows.append((title, f"{taken.middle:.0f}", quartiles(taken), part))
    table.rows.append(("all, above the open view", f"{whole.middle:.0f}", quartiles(whole), "100%"))
    table.notes.append("These are medians of differences, so they don't add up exactly.")
    return table
