"""Programs that use a new key once, to be shown beside its secret."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from dataclasses import dataclass, field

from django.http import HttpRequest
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..crypto import Secret
from ..keys import GeneratedKeys
from .endpoints import Endpoint, endpoints


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program in one language. ``repr()`` hides it, because it contains the secret."""

    slug: str
    language: str
    text: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """How to try a key.

    Attributes:
        snippets: the same GET request in several languages.
        allowed_ips: the addresses and networks that it works from; none for all.
        may_need_permission: the request is to a view of the project.
    """

    snippets: list[Snippet]
    allowed_ips: list[str]
    may_need_permission: bool


@sensitive_variables()
def trial_of(request: HttpRequest, keys: GeneratedKeys, source: str = "") -> Trial:
    """Return programs that send a GET with ``keys`` to an address that the key opens.

    Args:
        request: the one that generated the secret, for the address of this site.
        keys: what was generated.
        source: the second header, ``Frappe-Authorization-Source: <name>``, if one is needed.
    """
    path, is_projects = path_for(keys.instance)
    url = request.build_absolute_uri(path)
    lines = [line for line in (keys.header, Secret(source)) if line]
    headers = {line.partition(": ")[0]: Secret(line.partition(": ")[2]) for line in lines}
    texts = {
        "curl": ("curl", _curl(url, lines)),
        "python": ("Python (requests)", _python(url, headers)),
        "javascript": ("JavaScript (fetch)", _javascript(url, headers)),
    }
    snippets = [Snippet(slug, name, text) for slug, (name, text) in texts.items()]
    return Trial(snippets, list(keys.instance.allowed_ips), is_projects)


def path_for(key: AbstractApiKey) -> tuple[str, bool]:
    """Return a path that ``key`` opens by GET, and whether it is the project's.

    Our own are open to all users. The project's may require permissions too.
    """
    if not key.is_scoped:
        with suppress(NoReverseMatch):
            return reverse("frappe_tokens:get_logged_user"), False
    opened = [endpoint for endpoint in endpoints() if _opens(key, endpoint)]
    if opened:
        # Prefer a list.
        return next((it for it in opened if it.lists), opened[0]).path, True
    with suppress(NoReverseMatch):
        return reverse("frappe_tokens:own_key"), False
    return get_script_prefix(), True


def _opens(key: AbstractApiKey, endpoint: Endpoint) -> bool:
    return endpoint.answers_get and endpoint.accepts_tokens and key.opens(endpoint.required_scopes)


# Each piece is a Secret, because reports of errors show variables. sensitive_variables() hides them
# only from Django's own, without DEBUG.


@sensitive_variables()
def _curl(url: str, lines: list[Secret]) -> Secret:
    options = [Secret(f"-H {shlex.quote(line)}") for line in lines]
    return Secret(" \\\n  ".join([f"curl {shlex.quote(url)}", *options]))


# The strings of JSON are also those of Python and of JavaScript.


@sensitive_variables()
def _pairs(headers: dict[str, Secret]) -> Secret:
    return Secret("".join(f"    {json.dumps(n)}: {json.dumps(v)},\n" for n, v in headers.items()))


@sensitive_variables()
def _python(url: str, headers: dict[str, Secret]) -> Secret:
    return Secret(
        "import requests\n\n"
        f"url = {json.dumps(url)}\n"
        f"headers = {{\n{_pairs(headers)}}}\n"
        "response = requests.get(url, headers=headers, timeout=10)\n"
        "print(response.status_code, response.text)"
    )


@sensitive_variables()
def _javascript(url: str, headers: dict[str, Secret]) -> Secret:
    return Secret(
        f"const response = await fetch({json.dumps(url)}, {{\n"
        f"  headers: {{\n{_pairs(headers)}  }},\n"
        "});\n"
        "console.log(response.status, await response.text());"
    )
