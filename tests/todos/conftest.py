from datetime import date

import pytest
from rest_framework.test import APIClient

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo

ALL_PERMISSIONS = ("todos.view_todo", "todos.add_todo", "todos.change_todo", "todos.delete_todo")


def client_of(user, **policies):
    """A client that sends a fresh key of ``user``."""
    client = APIClient()
    generated = generate_keys(user, name="tests", **policies)
    client.credentials(HTTP_AUTHORIZATION=f"token {generated.token}")
    return client


def assert_error(response, status, exc_type, sentence=""):
    """``response`` is an error in Frappe's envelope that says ``sentence``."""
    body = response.json()
    assert (response.status_code, body["exc_type"]) == (status, exc_type), body
    assert sentence in body["exception"]
    assert body["exc"]


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
    """Three that differ in everything."""
    boss = make_user("boss")
    return [
        make_todo("Alpha 100%", name="a", priority="High", date=date(2026, 1, 1)),
        make_todo("Beta_1", name="b", status="Closed", date=date(2026, 2, 1), owner=boss),
        make_todo("Gamma\\", name="c", priority="Low", status="Cancelled"),
    ]
