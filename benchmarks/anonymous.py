"""A middleware that runs in the event loop.

Django's own middleware is async-capable, but calls its hooks in a thread, one after another.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import async_only_middleware


@async_only_middleware
def anonymous(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponse]],
) -> Callable[[Any], Awaitable[HttpResponse]]:
    """Give each request the user that it has without a session."""

    async def auser() -> AnonymousUser:
        return AnonymousUser()

    async def middleware(request: Any) -> HttpResponse:
        request.user = AnonymousUser()
        request.auser = auser
        return await get_response(request)

    return middleware
