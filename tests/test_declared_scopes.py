"""The scopes that a project declares: every path accepts them, and no others."""

import json
from functools import cached_property

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import ProgrammingError
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from drf_spectacular.generators import SchemaGenerator
from ninja import NinjaAPI
from oauth2_provider.scopes import SettingsScopes
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from frappe_tokens.checks.configuration import check_settings
from frappe_tokens.checks.scopes import check_scopes
from frappe_tokens.conf import conf
from frappe_tokens.contrib.ninja import TokenAuth
from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import change_key, create_key, generate_keys
from frappe_tokens.models import ApiKey

from .commands.running import error_of, run
from .conftest import token_header
from .html import attribute, elements, text

SCOPES = {
    "todos:read": "Read to-dos",
    "todos:write": "Change to-dos",
    "reports": "Read the reports",
}
REFUSAL = "is not a scope of this site. The scopes are: todos:read, todos:write, reports."


@pytest.fixture(autouse=True)
def declared(settings):
    settings.FRAPPE_TOKENS = {"SCOPES": SCOPES, "SELF_SERVICE": True}


@pytest.fixture
def old_key(user):
    """A key with a scope that is no longer declared."""
    key = generate_keys(user, name="old", scopes=["reports"]).instance
    ApiKey.objects.filter(pk=key.pk).update(scopes=["reports", "gone"])
    return key


def named(page, tag, name):
    return [element for element in elements(page, tag) if attribute(element, "name") == name]


def boxes(page):
    """The values of the check boxes, and which of them are ticked."""
    found = named(page, "input", "scopes")
    ticked = [attribute(box, "value") for box in found if "checked" in dict(box.attributes)]
    return [attribute(box, "value") for box in found], ticked


class Scopes(SettingsScopes):
    """A project's own scopes of the toolkit."""

    def get_all_scopes(self):
        return {"backend": "From the backend"}


def test_without_the_setting_they_are_the_toolkits(settings):
    settings.FRAPPE_TOKENS = {}
    settings.OAUTH2_PROVIDER = {"SCOPES_BACKEND_CLASS": f"{__name__}.Scopes"}

    assert conf.SCOPES == {"backend": "From the backend"}


class StoredScopes(SettingsScopes):
    """Scopes in a table that the next migration creates."""

    def get_all_scopes(self):
        raise ProgrammingError("no such table")


@pytest.mark.parametrize("own", [None, SCOPES])
def test_checks_run_before_the_toolkits_scopes_have_their_table(settings, own):
    settings.FRAPPE_TOKENS = {"SCOPES": own}
    settings.OAUTH2_PROVIDER = {"SCOPES_BACKEND_CLASS": f"{__name__}.StoredScopes"}

    assert [*check_settings(), *check_scopes()] == []


@pytest.mark.parametrize("own", [None, SCOPES])
def test_checks_report_a_toolkit_without_scopes(settings, own):
    settings.FRAPPE_TOKENS = {"SCOPES": own}
    settings.OAUTH2_PROVIDER = {"SCOPES_BACKEND_CLASS": "no.such.Scopes"}

    found = [message.id for message in (*check_settings(), *check_scopes())]
    assert found == ([] if own else ["frappe_tokens.E003"])


def test_without_the_setting_and_the_toolkit_a_key_may_have_any(user, settings, monkeypatch):
    settings.FRAPPE_TOKENS = {}
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: name != "oauth2_provider")

    assert conf.SCOPES is None
    assert generate_keys(user, scopes=["any:thing"]).instance.scopes == ["any:thing"]


@pytest.mark.parametrize(
    ("scopes", "problem"),
    [
        ({"two words": "Both"}, "not a valid scope"),
        ({"a,b": "Both"}, "not a valid scope"),
        ({"todos": None}, "must be a text that says what the scope allows"),
        (["todos"], "must be of type dict or None"),
    ],
    ids=["space", "comma", "no description", "list"],
)
def test_invalid_setting_is_an_error(settings, scopes, problem):
    settings.FRAPPE_TOKENS = {"SCOPES": scopes}

    with pytest.raises(ImproperlyConfigured, match=problem):
        _ = conf.SCOPES


@pytest.mark.parametrize("generate", [create_key, generate_keys])
def test_key_has_declared_scopes_only(user, generate):
    assert generate(user, scopes=["todos:read"]).instance.scopes == ["todos:read"]

    with pytest.raises(ValidationError, match=REFUSAL):
        generate(user, name="other", scopes=["todos:read", "todo"])

    assert ApiKey.objects.count() == 1


def test_held_scope_that_is_no_longer_declared_may_stay_but_not_come_back(old_key):
    change_key(old_key, scopes=["gone", "todos:read"])
    assert old_key.scopes == ["gone", "todos:read"]

    change_key(old_key, scopes=["todos:read"])
    with pytest.raises(ValidationError, match=REFUSAL):
        change_key(old_key, scopes=["gone", "todos:read"])


def test_command_refuses_others_and_names_them_all(user):
    assert REFUSAL in error_of("generate_keys", user.username, "--scope", "todo")
    assert not ApiKey.objects.exists()

    run("generate_keys", user.username, "--scope", "reports")
    assert ApiKey.objects.get().scopes == ["reports"]


def test_rest_refuses_others_by_field(client, keys, old_key):
    send = {"content_type": "application/json", "HTTP_AUTHORIZATION": token_header(keys)}

    made = client.post("/api/keys/", {"name": "new", "scopes": ["todo"]}, **send)
    changed = client.patch(f"/api/keys/{old_key.api_key}/", {"scopes": ["todo"]}, **send)
    kept = client.patch(f"/api/keys/{old_key.api_key}/", {"scopes": ["gone"]}, **send)

    for answer in (made, changed):
        assert answer.status_code == 400
        assert answer.json() == {"scopes": [f"'todo' {REFUSAL}"]}
    assert kept.json()["scopes"] == ["gone"]


def test_users_page_has_a_check_box_for_each(client, user):
    client.force_login(user)
    page = client.get("/account/api-keys/new/")
    assert boxes(page.content.decode()) == (["reports", "todos:read", "todos:write"], [])
    (fieldset,) = [
        element
        for element in elements(page.content.decode(), "fieldset")
        if text(elements(element, "legend")[0]) == "Scopes"
    ]
    assert "todos:read Read to-dos" in text(fieldset)
    form = {"name": "ci", "grace": "0"}
    (version,) = named(page.content.decode(), "input", "version")
    form["version"] = attribute(version, "value")

    refused = client.post("/account/api-keys/new/", {**form, "scopes": ["todos:read", "todo"]})
    assert REFUSAL in text(elements(refused.content.decode(), "main")[0])
    assert boxes(refused.content.decode())[1] == ["todos:read", "todo"]

    client.post("/account/api-keys/new/", {**form, "scopes": ["todos:read", "reports"]})
    assert ApiKey.objects.get().scopes == ["todos:read", "reports"]


def test_admin_has_a_check_box_for_each(client, make_user, user, old_key):
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    add = "/admin/frappe_tokens/apikey/add/"
    change = f"/admin/frappe_tokens/apikey/{old_key.pk}/change/"
    form = {"user": user.pk, "name": "ci", "metadata": "{}"}

    refused = client.post(add, {**form, "scopes": ["todo"]})
    assert REFUSAL in refused.content.decode()
    client.post(add, {**form, "scopes": ["todos:read", "todos:write"]})
    assert ApiKey.objects.get(name="ci").scopes == ["todos:read", "todos:write"]

    # Without a box for it, the form would take the last scope, which would open everything.
    page = client.get(change).content.decode()
    assert boxes(page) == (["reports", "todos:read", "todos:write", "gone"], ["reports", "gone"])
    form |= {"name": "renamed", "scopes": ["reports", "gone"]}
    assert client.post(change, form).status_code == 302
    refused = client.post(change, {**form, "scopes": ["reports", "todo"]})
    assert REFUSAL in refused.content.decode()
    old_key.refresh_from_db()
    assert (old_key.name, old_key.scopes) == ("renamed", ["reports", "gone"])


def test_form_has_a_text_area_if_any_scope_is_allowed(client, user, settings, monkeypatch):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    client.force_login(user)

    page = client.get("/account/api-keys/new/").content.decode()

    (area,) = named(page, "textarea", "scopes")
    assert elements(page, "label", for_=attribute(area, "id"))


def test_form_without_the_text_area_leaves_the_scopes(
    client, make_user, user, settings, monkeypatch
):
    settings.FRAPPE_TOKENS = {}
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    key = generate_keys(user, scopes=["any"]).instance
    client.force_login(make_user("root", is_superuser=True, is_staff=True))

    client.post(f"/admin/frappe_tokens/apikey/{key.pk}/change/", {"name": "new", "metadata": "{}"})

    key.refresh_from_db()
    assert (key.name, key.scopes) == ("new", ["any"])


def test_order_of_the_check_boxes_is_no_change(client, make_user, user):
    key = generate_keys(user, scopes=["todos:write", "reports"]).instance
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    change = f"/admin/frappe_tokens/apikey/{key.pk}/change/"
    page = client.get(change).content.decode()

    client.post(change, {"name": "new", "metadata": "{}", "scopes": boxes(page)[1]})

    key.refresh_from_db()
    assert (key.name, key.scopes) == ("new", ["todos:write", "reports"])
    (entry,) = LogEntry.objects.filter(object_id=str(key.pk))
    assert entry.get_change_message() == "Changed Name."


def test_schema_names_them():
    schemas = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]

    for name in ("NewApiKey", "PatchedApiKeyPolicies"):
        scopes = schemas[name]["properties"]["scopes"]
        enum = schemas[scopes["items"]["$ref"].rpartition("/")[2]]["enum"]
        assert enum == [*SCOPES]
        assert "* `reports`: Read the reports" in scopes["description"]


# Views of every kind that may require scopes.


@require_scopes("reports")
def function(request): ...


@require_scopes("reports")
def zebra(request, kind): ...


@require_scopes("reports")
def ant(request, kind): ...


@require_scopes("todos:read")
@api_view(["GET", "POST"])
def by_decorator(request):
    return Response()


class ToDos(ViewSet):
    required_scopes = {"list": ["todos:read"], "create": ["todos:read", "todos:write"]}

    def list(self, request): ...

    def create(self, request): ...

    @action(detail=False, methods=["post"], required_scopes=["todos:done"])
    def done(self, request): ...


class OnlyInRequests(APIView):
    @cached_property
    def required_scopes(self):
        return ["cached"]

    def get(self, request): ...


class ByMethod(APIView):
    required_scopes = {"get": ["todos:read"], "post": ["todos:write"]}

    def get(self, request): ...

    def post(self, request): ...


@method_decorator(require_scopes("reports"), name="dispatch")
class Page(View):
    def get(self, request): ...


class Instance:
    required_scopes = ["reports"]

    def __call__(self, request): ...


class Foreign:
    """A view whose ``cls`` is not what Django REST framework sets."""

    def __init__(self, cls):
        self.cls = cls

    def __call__(self, request): ...


ninja = NinjaAPI(urls_namespace="declared scopes")


@ninja.get("/notes", auth=TokenAuth("notes"))
def notes(request): ...


@ninja.post("/notes", auth=TokenAuth("todos:write"))
def new_note(request): ...


@ninja.get("/open")
def without(request): ...


urlpatterns = [
    path("function/", function),
    path("decorator/<int:pk>/", by_decorator),
    path("todos/", ToDos.as_view({"get": "list", "post": "create"})),
    path("done/", ToDos.as_view({"post": "done"}, required_scopes=["todos:done"])),
    path("ninja/", ninja.urls),
    path("cached/", OnlyInRequests.as_view()),
    path("nested/", ToDos.as_view({"get": "list"}, required_scopes=[["nested"]])),
    path("instance/", Instance()),
    path("foreign/", Foreign(Page)),
    path("foreign/too/", Foreign(dict)),
    path("methods/", ByMethod.as_view()),
    path("page/", Page.as_view()),
    re_path(r"^reports/(\d+)/$", zebra),
    re_path(r"^reports/(\w+)/$", ant),
]


@pytest.fixture
def views(settings):
    settings.ROOT_URLCONF = __name__


@pytest.mark.usefixtures("views")
def test_command_lists_views_by_scope():
    out, err = run("list_scopes")

    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "todos:read: Read to-dos",
        "todos:write: Change to-dos",
        "reports: Read the reports",
        "",
        "scope methods path view",
        f"notes GET /ninja/notes {__name__}.notes",
        f"reports all /function/ {__name__}.function",
        f"reports all /instance/ {__name__}.Instance",
        f"reports GET /page/ {__name__}.Page",
        f"reports all /reports/<var>/ {__name__}.zebra",
        f"reports all /reports/<var>/ {__name__}.ant",
        f"todos:done POST /done/ {__name__}.ToDos",
        f"todos:read GET POST /decorator/<int:pk>/ {__name__}.by_decorator",
        f"todos:read GET /methods/ {__name__}.ByMethod",
        f"todos:read GET POST /todos/ {__name__}.ToDos",
        f"todos:write POST /methods/ {__name__}.ByMethod",
        f"todos:write POST /ninja/notes {__name__}.new_note",
        f"todos:write POST /todos/ {__name__}.ToDos",
    ]
    assert err == ""


@pytest.mark.usefixtures("views")
def test_command_lists_views_for_programs():
    lines = run("list_scopes", "--format", "json")[0].splitlines()

    assert json.loads(lines[1]) == {
        "scope": "reports",
        "methods": ["all"],
        "path": "/function/",
        "view": f"{__name__}.function",
    }
    assert len(lines) == 13


def test_command_names_scopes_that_open_nothing(settings):
    settings.FRAPPE_TOKENS = {"SCOPES": {"todos": "Use to-dos", "todo": "Misspelt"}}
    assert run("list_scopes")[1] == ("No view requires: todo.\n")

    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    out, err = run("list_scopes")
    assert out == "todos: Use to-dos\ntodo: Misspelt\n"
    assert err == "No view requires a scope.\n"


@pytest.mark.usefixtures("views")
def test_check_finds_required_scopes_that_are_not_declared(settings, monkeypatch):
    monkeypatch.setattr("frappe_tokens.checks.scopes.scopes_of_toolkit", lambda: {"notes": "Notes"})

    (warning,) = check_scopes()

    assert warning.id == "frappe_tokens.W016"
    assert warning.msg == (
        f"{__name__}.ToDos requires the scope 'todos:done', which is not declared: no key can have "
        "it."
    )
    assert "The scopes are: todos:read, todos:write, reports." in warning.hint


@pytest.mark.usefixtures("views")
def test_check_names_the_operations_of_ninja_that_require_the_scope(settings, monkeypatch):
    monkeypatch.setattr("frappe_tokens.checks.scopes.scopes_of_toolkit", lambda: None)
    names = ("todos:read", "todos:done", "reports", "notes")
    settings.FRAPPE_TOKENS = {"SCOPES": dict.fromkeys(names, "A description")}

    (warning,) = check_scopes()

    views = ", ".join(f"{__name__}.{name}" for name in ("ByMethod", "ToDos", "new_note"))
    assert warning.msg.startswith(f"{views} require the scope 'todos:write', ")


@pytest.mark.usefixtures("views")
def test_check_finds_nothing_where_any_scope_is_allowed(settings, monkeypatch):
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    settings.FRAPPE_TOKENS = {}

    assert [*check_scopes()] == []


def test_check_leaves_a_broken_urlconf_to_django(settings):
    settings.ROOT_URLCONF = "tests.no_such_module"

    assert [*check_scopes()] == []


@pytest.fixture
def any_scope(settings, monkeypatch):
    """A project that declares no scopes and has no toolkit."""
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    settings.FRAPPE_TOKENS = {}


@pytest.mark.usefixtures("any_scope")
def test_schema_takes_any_scope_where_none_are_declared():
    schemas = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]

    scopes = schemas["NewApiKey"]["properties"]["scopes"]
    assert scopes["items"] == {"type": "string", "maxLength": 200}
    assert "description" not in scopes


@pytest.mark.usefixtures("any_scope", "views")
def test_command_lists_views_where_no_scopes_are_declared():
    out, err = run("list_scopes")

    assert out.splitlines()[0].split() == ["scope", "methods", "path", "view"]
    assert err == ""
