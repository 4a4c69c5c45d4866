"""Repeats transactions that the database ended because of a parallel one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connections, router
from django.views.decorators.debug import sensitive_variables

from ..db import is_conflict
from ..models import ApiKey

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

ATTEMPTS = 10


def repeated(write: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Call ``write``, which begins a transaction, again after a deadlock.

    Calls lock users in one order, but with *repeatable read*, MySQL and MariaDB also lock the gaps
    between rows, which any two calls may share. Within a transaction of the caller's, the error is
    the caller's too: everything in it would have to be repeated.
    """

    @sensitive_variables()
    @wraps(write)
    def attempt(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        is_own = connections[router.db_for_write(ApiKey)].get_autocommit()
        for _ in range(ATTEMPTS - 1 if is_own else 0):
            try:
                return write(*args, **kwargs)
            except OperationalError as error:
                if not is_conflict(error):
                    raise
        return write(*args, **kwargs)

    return attempt
