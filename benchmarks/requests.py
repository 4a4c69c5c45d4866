"""Requests to a view in this process. Each is new, and its response is checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from .contenders import Contender
from .measure import Probe, Trial, WrongAnswer, use

Handler = Callable[[HttpRequest], HttpResponse]

_ENVIRON = RequestFactory(SERVER_NAME="localhost").get("/").environ


def make_request(headers: Mapping[str, str]) -> WSGIRequest:
    """A GET from 127.0.0.1, unless ``headers`` (names as in WSGI) say otherwise."""
    return WSGIRequest({**_ENVIRON, **headers})


def handler_of(contender: Contender) -> Handler:
    """Return the contender's view with its middleware, up to the rendered response."""
    view = contender.view.as_view()

    def handle(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = view(request).render()
        return response

    handler: Handler = handle
    for middleware in reversed(contender.middleware):
        handler = middleware(handler)
    return handler


def check_answer(status: int, username: str, response: HttpResponse) -> None:
    """Raise :class:`WrongAnswer` unless the status, and for 200 the username, are right."""
    right = response.status_code == status
    if right and status == 200:
        right = json.loads(response.content)["user"] == username
    if not right:
        raise WrongAnswer(
            f"Expected {status} for {username!r}, and got {response.status_code} "
            f"{response.content.decode(errors='replace')!r}."
        )


def probe_of(
    contender: Contender, *, name: str = "", cache: str | None = None, status: int = 200
) -> Probe:
    """Return the probe of the contender's whole request.

    Args:
        contender: the view and the headers.
        name: of the probe, by default the contender's title.
        cache: the alias for ``FRAPPE_TOKENS["CACHE"]``.
        status: the expected status.
    """
    return varying_probe(
        name or contender.title,
        handler_of(contender),
        lambda: (contender.headers, contender.username),
        cache=cache,
        status=status,
    )


def varying_probe(
    name: str,
    handler: Handler,
    choose: Callable[[], tuple[Mapping[str, str], str]],
    *,
    cache: str | None = None,
    status: int = 200,
) -> Probe:
    """A request whose headers, and the username in the response, are chosen for each trial."""

    def prepare() -> Trial:
        headers, username = choose()
        call: Callable[[], Any] = partial(handler, make_request(headers))
        return Trial(call, partial(check_answer, status, username))

    return Probe(name, prepare, cache)


def count_queries(probe: Probe) -> int:
    """Return how many queries a request makes, after a first one."""
    use(probe.cache, probe.log)
    probe.run()
    with CaptureQueriesContext(connection) as queries:
        probe.run()
    use()
    return len(queries)
