"""The app's own addresses, as the URLconf has them: a new one is tested by itself."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from django.urls import URLResolver
from django.utils.regex_helper import normalize

import frappe_tokens.contrib.oauth2.urls
import frappe_tokens.urls

MODULES = (frappe_tokens.urls, frappe_tokens.contrib.oauth2.urls)


class Address(NamedTuple):
    """One address and its view; ``path`` has ``%(api_key)s`` where it names a key."""

    path: str
    view: Any

    def __str__(self):
        return self.path


def calls():
    """Each method of each address, as parameters of a test, but for those that read nothing.

    Each once: some have a second pattern, for what Frappe called them in older versions, and all of
    Frappe's are under v1/ and v2/ as well.
    """
    views = {
        f"/api/{_example(regex)}": view
        for module in MODULES
        for regex, view in _patterns(module.urlpatterns)
        if not regex.startswith("^v")
    }
    return [
        (method.upper(), Address(path, view))
        for path, view in views.items()
        for method in view.view_class.http_method_names
        if method not in {"head", "options", "trace"} and hasattr(view.view_class, method)
    ]


def _patterns(patterns):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern.pattern.regex.pattern, pattern.callback


def _example(regex):
    """An address that ``regex`` matches: by the first of its alternatives."""
    first_alternatives = re.sub(r"\(\?:([^|()]*)\|[^()]*\)", r"\1", regex)
    (template, _), *_ = normalize(first_alternatives)
    return str(template)
