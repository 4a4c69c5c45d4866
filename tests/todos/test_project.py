"""The example project's settings, its admin of ToDos, and what a WSGI server loads."""

import runpy
from wsgiref.util import setup_testing_defaults

import pytest
from django.core.servers.basehttp import get_internal_wsgi_application
from django.urls import reverse

from testproject import settings
from testproject.todos.models import ToDo


@pytest.fixture
def with_environment(monkeypatch):
    """Load the settings in an environment: ``with_environment(DJANGO_DEBUG="0")``."""

    def run(**environment):
        for name in ("DJANGO_DEBUG", "DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", "REDIS_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(settings.__file__))

    return run


def test_default_settings(with_environment):
    loaded = with_environment()
    assert loaded["DEBUG"]
    assert loaded["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert "CACHES" not in loaded
    assert loaded["SECRET_KEY"] != with_environment()["SECRET_KEY"]


def test_services_are_in_the_environment(with_environment):
    loaded = with_environment(REDIS_URL="redis://127.0.0.1:6379/5", DATABASE_URL="sqlite:///a")
    assert loaded["CACHES"]["default"]["LOCATION"] == "redis://127.0.0.1:6379/5"
    assert loaded["DATABASES"]["default"]["NAME"] == "a"


def test_https_without_debug(with_environment):
    loaded = with_environment(
        DJANGO_DEBUG="0", DJANGO_SECRET_KEY="made up", DJANGO_ALLOWED_HOSTS="a.test,b.test"
    )
    assert not loaded["DEBUG"]
    assert loaded["SECURE_SSL_REDIRECT"]
    assert (loaded["SECRET_KEY"], loaded["ALLOWED_HOSTS"]) == ("made up", ["a.test", "b.test"])


def test_todo_in_the_admin_belongs_to_its_creator(admin_client, todo):
    fields = {"description": "Call", "status": "Open", "priority": "Low"}
    admin_client.post(reverse("admin:todos_todo_add"), fields)
    admin_client.post(reverse("admin:todos_todo_change", args=[todo.name]), fields)

    owners = ToDo.objects.filter(description="Call").values_list("name", "owner__username")
    assert len(owners) == 2
    assert dict(owners)[todo.name] == "worker"
    assert {owner for name, owner in owners if name != todo.name} == {"admin"}
    page = admin_client.get(reverse("admin:todos_todo_changelist")).content.decode()
    assert todo.name in page
    assert str(todo) == todo.name


# Django looks at the connections that this thread has open.
@pytest.mark.django_db
def test_wsgi_entry_point_answers():
    environ = {"PATH_INFO": "/api/method/ping"}
    setup_testing_defaults(environ)
    statuses = []

    body = get_internal_wsgi_application()(environ, lambda status, _: statuses.append(status))

    assert (statuses, b"".join(body)) == (["200 OK"], b'{"message":"pong"}')
