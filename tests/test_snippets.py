"""Programs that try a new key: they work, for keys with whatever limits."""

import json
import shlex
from functools import cached_property, partial

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path, re_path, register_converter
from django.urls.converters import IntConverter
from django.views import View
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.generics import ListAPIView
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from frappe_tokens.authentication import BearerAuthentication, TokenAuthentication
from frappe_tokens.crypto import Secret
from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import GeneratedKeys, generate_keys, generate_keys_for_source
from frappe_tokens.models import ApiKey
from frappe_tokens.ui.endpoints import endpoints
from frappe_tokens.ui.snippets import path_for, trial_of
from testproject.events.models import EventConsumer
from testproject.todos.models import ToDo
from testproject.todos.serializers import ToDoSerializer

# A project's URLs, without ours.


class Tokens(APIView):
    authentication_classes = [BearerAuthentication, TokenAuthentication]
    permission_classes = []
    required_scopes: object = ["reports"]

    def get(self, request, **kwargs):
        return Response("ok")


class ByMethod(Tokens):
    required_scopes = {"get": "by:read", "post": "by:write"}

    post = Tokens.get


class Dynamic(Tokens):
    @property
    def required_scopes(self):
        return ["dynamic"]


class Cached(Tokens):
    @cached_property
    def required_scopes(self):
        return ["cached"]


class OnlyPost(Tokens):
    required_scopes = ["posts"]
    get = None  # type: ignore[assignment]
    http_method_names = ["post"]


class OnlyBearer(Tokens):
    authentication_classes = [BearerAuthentication]
    required_scopes = ["bearer"]


class Reports(ListAPIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = []
    required_scopes = ["reports", "lists"]
    serializer_class = ToDoSerializer
    queryset = ToDo.objects.all()


class ToDoSet(ModelViewSet):
    authentication_classes = [TokenAuthentication]
    permission_classes = []
    required_scopes = {"list": ["set:list"], "create": ["set:create"]}
    serializer_class = ToDoSerializer
    queryset = ToDo.objects.all()


@require_scopes("function")
@api_view(["GET"])
@authentication_classes([TokenAuthentication])
def function(request):
    return Response("ok")


class Plain(View):
    required_scopes = ["plain"]

    def get(self, request):
        return HttpResponse("ok")


class Instance:
    """A view that has what those of Django REST framework have, but with another meaning."""

    cls = dict
    actions = ["get"]
    initkwargs = ("required_scopes",)

    def __call__(self, request): ...


class Failing(IntConverter):
    """Allowed to raise ValueError only."""

    def to_python(self, value):
        raise KeyError(value)


register_converter(Failing, "failing")

router = DefaultRouter()
router.register("todos", ToDoSet)

urlpatterns = [
    path("", Plain.as_view()),
    path("things/<int:pk>/", Tokens.as_view()),
    re_path(r"^reports/(?P<year>[0-9]{4})/$", Tokens.as_view()),
    re_path(r"^(?:v1/)?reports/?$", Tokens.as_view()),
    path("hidden/", Plain.as_view()),
    path("hidden/", Tokens.as_view(required_scopes=["hidden"])),
    path("given/", Tokens.as_view(required_scopes="given other")),
    path("100%/", Tokens.as_view(required_scopes=["percent"])),
    path("by/", ByMethod.as_view()),
    path("dynamic/", Dynamic.as_view()),
    path("bearer/", OnlyBearer.as_view()),
    path("function/", function),
    path("lists/", Reports.as_view()),
    path("in/<slug:team>/", include([path("team/", Tokens.as_view(required_scopes=["team"]))])),
    path("sets/", include(router.urls)),
    path("odd/instance/", Instance()),
    path("odd/partial/", partial(Plain.as_view())),
    path("odd/cached/", Cached.as_view()),
    path("odd/number/", Tokens.as_view(required_scopes=5)),
    path("odd/nested/", Tokens.as_view(required_scopes=[["nested"]])),
    path("odd/<failing:number>/", Plain.as_view()),
    path("odd/7/", Tokens.as_view(required_scopes=["failing"])),
    path("/other.example/", Tokens.as_view(required_scopes=["slashes"])),
    path("what?/no#1/[a]/ö/", Tokens.as_view(required_scopes=["reserved"])),
]

QUOTED = [
    (["slashes"], "/%2Fother.example/"),
    (["reserved"], "/what%3F/no%231/%5Ba%5D/%C3%B6/"),
]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["reports"], "/reports"),
        (["reports", "lists"], "/lists/"),  # rather than the first, which lists nothing
        (["given", "other"], "/given/"),
        (["given"], "/"),
        (["by:read"], "/by/"),
        (["by:write"], "/"),
        (["function"], "/function/"),
        (["set:list"], "/sets/todos/"),
        (["set:create"], "/"),
        *(([unusable], "/") for unusable in ("hidden", "bearer", "dynamic", "percent", "team")),
        *(([unusable], "/") for unusable in ("cached", "nested", "failing")),
        *QUOTED,
        (["plain"], "/"),
        ([], "/lists/"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value) or "none",
)
def test_finds_a_path_that_the_scopes_open(settings, scopes, expected):
    settings.ROOT_URLCONF = __name__

    assert path_for(ApiKey(scopes=scopes)) == (expected, True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "scopes",
    [
        *(["reports"], ["given", "other"], ["by:read"], ["function"], []),
        *(scopes for scopes, _path in QUOTED),
    ],
)
def test_key_opens_the_path(settings, user, scopes):
    settings.ROOT_URLCONF = __name__
    settings.FRAPPE_TOKENS = {"SCOPES": dict.fromkeys(scopes, "For this test")}
    keys = generate_keys(user, scopes=scopes, read_only=True)

    response = Client().get(
        path_for(keys.instance)[0], headers={"authorization": f"token {keys.token}"}
    )

    assert response.status_code == 200


def test_our_own_paths_are_open_to_keys_that_open_no_other():
    assert path_for(ApiKey()) == ("/api/method/frappe.auth.get_logged_user", False)
    assert path_for(ApiKey(scopes=["todos"])) == ("/api/resource/ToDo", True)
    assert path_for(ApiKey(scopes=["weld"])) == ("/api/keys/self", False)


def test_paths_have_the_prefix_of_the_script(settings):
    from django.urls import set_script_prefix

    settings.ROOT_URLCONF = __name__
    set_script_prefix("/app/")
    try:
        assert "/app/lists/" in [endpoint.path for endpoint in endpoints()]
        assert path_for(ApiKey(scopes=["plain"])) == ("/app/", True)
    finally:
        set_script_prefix("/")


# The programs.


@pytest.fixture
def trial(rf):
    def trial(keys, source=""):
        request = rf.get("/", headers={"host": "localhost:8123"})
        return trial_of(request, keys, source)

    return trial


def texts(trial):
    return {snippet.slug: str(snippet.text) for snippet in trial.snippets}


def test_secret_is_never_for_another_host(settings, trial):
    settings.ROOT_URLCONF = __name__
    keys = GeneratedKeys("ftk_key", Secret("canary"), ApiKey(scopes=["slashes"]))

    for program in texts(trial(keys)).values():
        assert "http://localhost:8123/" in program
        assert "//other.example" not in program


@pytest.mark.django_db
@pytest.mark.parametrize("limits", [{}, {"scopes": ["todos"]}, {"scopes": ["weld"]}])
def test_program_works_for_a_read_only_key(trial, make_user, monkeypatch, limits):
    user = make_user("ada", ["todos.view_todo"])
    keys = generate_keys(user, read_only=True, **limits)
    seen = []

    def get(url, headers, timeout):
        name, value = "authorization", headers["Authorization"]
        response = Client().get(url.removeprefix("http://localhost:8123"), headers={name: value})
        seen.append(response.status_code)
        response.text = response.content.decode()
        return response

    monkeypatch.setattr("requests.get", get)
    exec(texts(trial(keys))["python"], {})  # noqa: S102 - ours

    assert seen == [200]


@pytest.mark.django_db
def test_all_programs_send_the_same(trial, user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {'Event\'s "Consumer"': "events.EventConsumer"}}
    consumer = EventConsumer.objects.create(name="Door sensor", user=user)
    keys = generate_keys_for_source(consumer)
    # As imported: anything printable but a colon.
    keys = type(keys)("a'b\"c\\d$(e)`f", keys.api_secret, keys.instance)
    source = 'Frappe-Authorization-Source: Event\'s "Consumer"'

    programs = texts(trial(keys, source))

    url = "http://localhost:8123/api/method/frappe.auth.get_logged_user"
    assert shlex.split(programs["curl"].replace("\\\n", "")) == [
        *("curl", url, "-H", str(keys.header), "-H", source),
    ]
    headers = {
        "Authorization": f"token {keys.token}",
        "Frappe-Authorization-Source": 'Event\'s "Consumer"',
    }
    for language in ("python", "javascript"):
        assert json.dumps(url) in programs[language]
        for name, value in headers.items():
            assert f"{json.dumps(name)}: {json.dumps(value)}" in programs[language]


@pytest.mark.django_db
def test_secret_is_in_no_repr(trial, user):
    keys = generate_keys(user, allowed_ips=["192.0.2.0/24"])

    shown = trial(keys)

    assert str(keys.api_secret) in shown.snippets[0].text
    assert str(keys.api_secret) not in repr(shown) + repr([it.text for it in shown.snippets])
    assert shown.allowed_ips == ["192.0.2.0/24"]
