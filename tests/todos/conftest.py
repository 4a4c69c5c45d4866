from datetime import date

import pytest
from rest_framework.test import APIClient

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo

LIST = "/api/resource/ToDo"
ALL_PERMISSIONS = ("todos.view_todo", "todos.add_todo", "todos.change_todo", "todos.delete_todo")


def client_of(user, **policies):
    """Return a client that sends a new key of ``user``."""
    client = APIClient()
    generated = generate_keys(user, name="tests", **policies)
    client.credentials(HTTP_AUTHORIZATION=f"token {generated.token}")
    return client


def assert_error(response, status, exc_type, sentence=""):
    """Assert that ``response`` is an error in Frappe's envelope with this ``sentence``."""
    body = response.json()
    assert (response.status_code, body["exc_type"]) == (status, exc_type), body
    assert sentence in body["exception"]
    assert body["exc"]


def permission_needed(**allowed):
    """Run a test with each permission and the names of the calls that it allows."""
    return pytest.mark.parametrize(
        ("permission", "allowed"),
        [(f"todos.{verb}_todo", calls) for verb, calls in allowed.items()],
    )


def assert_only_allowed(responses, allowed):
    assert {name for name, response in responses.items() if response.status_code < 300} == allowed
    for name in responses.keys() - allowed:
        sentence = "clerk lacks the permission todos."
        assert_error(responses[name], 403, "PermissionError", sentence)


@pytest.fixture
def worker(make_user):
    """A user with every permission on ToDos."""
    return make_user("worker", permissions=ALL_PERMISSIONS)


@pytest.fixture
def api(worker):
    return client_of(worker)


@pytest.fixture
def make_todo(worker):
    def make(description="Water the plants", **values):
        return ToDo.objects.create(**{"owner": worker, "description": description, **values})

    return make


@pytest.fixture
def todo(make_todo):
    return make_todo()


@pytest.fixture
def todos(make_todo, make_user):
    """Three ToDos that differ in everything."""
    boss = make_user("boss")
    return [
        make_todo("Alpha 100%", name="a", priority="High", date=date(2026, 1, 1)),
        make_todo("Beta_1", name="b", status="Closed", date=date(2026, 2, 1), owner=boss),
        make_todo("Gamma\\", name="c", priority="Low", status="Cancelled"),
    ]
