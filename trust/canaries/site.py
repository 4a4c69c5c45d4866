"""The example project, beside a view of each kind, and what the worker holds."""

import gc
import os
import sys
from pathlib import Path

from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.contrib.channels import TokenAuthMiddleware
from frappe_tokens.contrib.ninja import TokenAuth, register
from frappe_tokens.decorators import require_scopes

from . import faults, reporting


class Rest(APIView):
    required_scopes = ["todos"]

    def get(self, request):
        faults.reach("view")
        return Response({"user": request.user.get_username()})


@require_scopes("todos")
def plain(request):
    faults.reach("view")
    return JsonResponse({"user": request.user.get_username()})


@require_scopes("todos")
async def aplain(request):
    faults.reach("view")
    return JsonResponse({"user": (await request.auser()).get_username()})


api = register(NinjaAPI(auth=TokenAuth("todos")))


@api.get("sync/")
def operation(request):
    faults.reach("view")
    return {"user": request.user.get_username()}


@api.get("async/")
async def aoperation(request):
    faults.reach("view")
    return {"user": request.user.get_username()}


class Consumer(AsyncWebsocketConsumer):
    required_scopes = ["todos"]

    async def connect(self):
        faults.reach("view")
        await self.accept()
        await self.close()


socket = TokenAuthMiddleware(Consumer.as_asgi(), read_only=True)


def pid(request):
    return JsonResponse({"pid": os.getpid()})


def flush(request):
    reporting.flush()
    return HttpResponse()


@csrf_exempt
def held(request):
    """Write down all strings that anything in the process refers to."""
    gc.collect()
    texts, seen, todo = set(), set(), gc.get_objects()
    # Not what grows meanwhile.
    seen |= {id(texts), id(seen), id(todo), id(sys._getframe())}
    while todo:
        for each in gc.get_referents(todo.pop()):
            # By type(): asking a lazy object for its class would evaluate it.
            kind = type(each)
            if issubclass(kind, str):
                texts.add(str(each))
            elif kind is bytes:
                texts.add(each.decode("latin-1"))
            elif id(each) not in seen and kind not in (int, float):
                seen.add(id(each))
                todo.append(each)
    path = Path(os.environ["TRUST_DIR"]) / "held"
    path.write_text("\n".join(texts), errors="backslashreplace")
    return HttpResponse()


urlpatterns = [
    path("trust/drf/", Rest.as_view()),
    path("trust/plain/", plain),
    path("trust/async/", aplain),
    path("trust/ninja/", api.urls),
    path("trust/pid/", pid),
    path("trust/flush/", flush),
    path("trust/held/", held),
    path("", include("testproject.urls")),
]
