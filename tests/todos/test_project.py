"""The example project's settings, as the environment chooses them."""

import runpy
from importlib import import_module

import pytest
from django.core.handlers.wsgi import WSGIHandler

from testproject import settings


@pytest.fixture
def with_environment(monkeypatch):
    """The settings under an environment: ``with_environment(DJANGO_DEBUG="0")``."""

    def run(**environment):
        for name in ("DJANGO_DEBUG", "DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", "REDIS_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(settings.__file__))

    return run


def test_is_a_demo_unless_told_otherwise(with_environment):
    chosen = with_environment()
    assert chosen["DEBUG"]
    assert chosen["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert "CACHES" not in chosen
    assert chosen["SECRET_KEY"] != with_environment()["SECRET_KEY"]


def test_takes_its_services_from_the_environment(with_environment):
    chosen = with_environment(REDIS_URL="redis://127.0.0.1:6379/5", DATABASE_URL="sqlite:///a")
    assert chosen["CACHES"]["default"]["LOCATION"] == "redis://127.0.0.1:6379/5"
    assert chosen["DATABASES"]["default"]["NAME"] == "a"


def test_without_debug_it_wants_https(with_environment):
    chosen = with_environment(
        DJANGO_DEBUG="0", DJANGO_SECRET_KEY="made up", DJANGO_ALLOWED_HOSTS="a.test,b.test"
    )
    assert not chosen["DEBUG"]
    assert chosen["SECURE_SSL_REDIRECT"]
    assert (chosen["SECRET_KEY"], chosen["ALLOWED_HOSTS"]) == ("made up", ["a.test", "b.test"])


def test_can_be_served_by_wsgi():
    assert isinstance(import_module("testproject.wsgi").application, WSGIHandler)
