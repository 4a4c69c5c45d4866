"""The page about other packages, with the packages that it names."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.auth.models import Permission
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.signals import authentication_succeeded
from testproject.todos.models import ToDo

from ..conftest import token_header

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parent.parent.parent / "docs/how-to/use-with-other-packages.md").read_text()
CORS, AUDITLOG, _TENANTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WHO = "/api/method/frappe.auth.get_logged_user"
ORIGIN = "https://app.example.com"


@pytest.fixture
def cors(settings):
    """The settings of the page."""
    names = {"INSTALLED_APPS": [], "MIDDLEWARE": [*settings.MIDDLEWARE]}
    # S102 warns of code from elsewhere. This is the example in our own documentation.
    exec(CORS, names)  # noqa: S102
    for name in names.keys() - {"INSTALLED_APPS", "default_headers", "__builtins__"}:
        setattr(settings, name, names[name])


def test_page_of_another_origin_may_send_the_headers(cors):
    response = Client().options(
        WHO,
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "GET",
            "access-control-request-headers": "authorization,frappe-authorization-source",
        },
    )

    assert response["Access-Control-Allow-Origin"] == ORIGIN
    allowed = response["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "frappe-authorization-source"} <= set(allowed)


@pytest.mark.parametrize("token", [None, "token a:b"])
def test_it_may_read_why_it_was_refused(cors, token):
    headers = {"origin": ORIGIN, **({"authorization": token} if token else {})}

    response = Client().get(WHO, headers=headers)

    assert response.status_code == 401
    exposed = response["Access-Control-Expose-Headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"} == set(exposed)
    assert response["Access-Control-Allow-Origin"] == ORIGIN


@pytest.fixture
def audited(settings):
    """Changes of ToDos are on record, with the receiver of the page."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "auditlog.middleware.AuditlogMiddleware"]
    names = {}
    exec(AUDITLOG, names)  # noqa: S102 - the example on the page
    auditlog.register(ToDo)
    yield
    auditlog.unregister(ToDo)
    authentication_succeeded.disconnect(names["name_the_actor"])


def test_auditlog_names_the_actor(audited, user):
    user.user_permissions.add(Permission.objects.get(codename="add_todo"))
    headers = {"authorization": token_header(generate_keys(user))}

    response = Client().post("/api/resource/ToDo", {"description": "x"}, headers=headers)

    assert response.status_code == 200, response.content
    entry = LogEntry.objects.get_for_model(ToDo).get()
    assert entry.actor == user


# Django Ninja and Channels aren't required


def test_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ninja", None)
    monkeypatch.delitem(sys.modules, "frappe_tokens.contrib.ninja", raising=False)
    with pytest.raises(ImportError, match="pip install django-ninja"):
        runpy.run_module("frappe_tokens.contrib.ninja")


def test_channels_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "channels", None)
    monkeypatch.delitem(sys.modules, "frappe_tokens.contrib.channels", raising=False)
    assert "TokenAuthMiddleware" in runpy.run_module("frappe_tokens.contrib.channels")
