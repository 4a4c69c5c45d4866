"""Which of a project's ``MIDDLEWARE`` are ours."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from .request_log import RequestLogMiddleware


def logs_requests(name: Any) -> bool:
    """Whether ``name``, as in ``MIDDLEWARE``, is the request log's middleware, or extends it.

    Nothing is said of what cannot be imported: Django says it, when it makes them.
    """
    try:
        middleware = import_string(name)
    except Exception:
        return False
    return isinstance(middleware, type) and issubclass(middleware, RequestLogMiddleware)
