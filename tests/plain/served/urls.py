"""Views that wait, for which a server is async."""

import asyncio

from django.http import HttpResponse, JsonResponse
from django.urls import path

waiting = 0
gate = asyncio.Event()


async def heartbeat(request):
    """How many wait."""
    return HttpResponse(str(waiting))


async def wait(request):
    """Answers when the gate is opened, to all at once."""
    global waiting
    waiting += 1
    await gate.wait()
    return JsonResponse({"user": (await request.auser()).get_username()})


async def open_gate(request):
    gate.set()
    return HttpResponse()


urlpatterns = [
    path("heartbeat/", heartbeat),
    path("wait/", wait),
    path("open/", open_gate),
]
