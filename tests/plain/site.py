"""A site of plain Django: views of every kind, sync and async."""

from django.contrib import admin
from django.contrib.auth import alogin, alogout, aupdate_session_auth_hash, login, logout
from django.contrib.auth import update_session_auth_hash as update_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpResponse, JsonResponse
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import View
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.response import Response

from frappe_tokens.decorators import require_scopes


def described(request):
    """Return which user the request runs as."""
    auth = getattr(request, "auth", None)
    return JsonResponse({"user": request.user.get_username(), "auth": type(auth).__name__})


def who(request):
    return described(request)


async def awho(request):
    user = await request.auser()
    auth = getattr(request, "auth", None)
    return JsonResponse({"user": user.get_username(), "auth": type(auth).__name__})


def the_same_for_all(request):
    return HttpResponse("the same for all")


class Who(View):
    def get(self, request):
        return described(request)

    post = get


class AsyncWho(View):
    async def get(self, request):
        return await awho(request)

    post = get


class Members(LoginRequiredMixin, Who):
    pass


@method_decorator(require_scopes("reports:read"), name="dispatch")
class Decorated(Who):
    pass


@method_decorator(require_scopes("reports:read"), name="dispatch")
class AsyncDecorated(AsyncWho):
    pass


class Handlers(View):
    @method_decorator(require_scopes("reports:read"))
    def get(self, request):
        return described(request)

    @method_decorator(require_scopes("reports:write"))
    def post(self, request):
        return described(request)


class AsyncHandlers(View):
    @method_decorator(require_scopes("reports:read"))
    async def get(self, request):
        return await awho(request)

    @method_decorator(require_scopes("reports:write"))
    async def post(self, request):
        return await awho(request)


@require_scopes("reports:read")
def declared(request):
    return described(request)


@require_scopes("reports:read")
def calls_another(request):
    return writes(request)


@require_scopes("reports:read")
async def acalls_another(request):
    return await awrites(request)


@require_scopes("reports:write")
def writes(request):
    return described(request)


@require_scopes("reports:write")
async def awrites(request):
    return await awho(request)


def log_in(request):
    login(request, request.user, "django.contrib.auth.backends.ModelBackend")
    return described(request)


async def alog_in(request):
    await alogin(request, request.user, "django.contrib.auth.backends.ModelBackend")
    return described(request)


def log_out(request):
    logout(request)
    return described(request)


async def alog_out(request):
    await alogout(request)
    return described(request)


def new_hash(request):
    update_hash(request, request.user)
    return described(request)


async def anew_hash(request):
    await aupdate_session_auth_hash(request, request.user)
    return described(request)


def remember(request):
    before = request.session.get("page")
    request.session["page"] = request.GET["page"]
    return JsonResponse({"before": before, "cookies": sorted(request.COOKIES)})


def make_session(request):
    request.session.create()
    request.session["page"] = "1"
    request.session.cycle_key()
    return JsonResponse({"key": request.session.session_key})


async def amake_session(request):
    await request.session.acreate()
    await request.session.aset("page", "1")
    await request.session.acycle_key()
    return JsonResponse({"key": request.session.session_key})


@api_view(["GET", "POST"])
def rest(request):
    return Response({"user": request.user.get_username(), "auth": type(request.auth).__name__})


@api_view(["GET", "POST"])
@authentication_classes([SessionAuthentication])
def rest_by_session(request):
    return Response({"user": request.user.get_username(), "auth": type(request.auth).__name__})


both = [
    ("who/", who, awho),
    ("members/", login_required(who), login_required(awho)),
    ("class/", Who.as_view(), AsyncWho.as_view()),
    ("protected/", csrf_protect(who), csrf_protect(awho)),
    ("exempt/", csrf_exempt(who), csrf_exempt(awho)),
    ("same/", the_same_for_all, the_same_for_all),
    ("declared/", declared, require_scopes("reports:read")(AsyncWho.as_view())),
    ("decorated/", Decorated.as_view(), AsyncDecorated.as_view()),
    ("handlers/", Handlers.as_view(), AsyncHandlers.as_view()),
    ("calls-another/", calls_another, acalls_another),
    ("log-in/", log_in, alog_in),
    ("log-out/", log_out, alog_out),
    ("new-hash/", new_hash, anew_hash),
    ("make-session/", make_session, amake_session),
    ("remember/", remember, remember),
    ("rest/", rest, rest),
    ("rest-by-session/", rest_by_session, rest_by_session),
]
others = [
    path("members-class/", Members.as_view()),
    path("password/", PasswordChangeView.as_view(success_url="/sync/who/")),
    path("login/", who, name="login"),
    path("admin/", admin.site.urls),
]

urlpatterns = [
    path("sync/", include([path(name, view) for name, view, _ in both])),
    path("async/", include([path(name, view) for name, _, view in both])),
    path("", include(others)),
    re_path("^no-slash$", who),
]
