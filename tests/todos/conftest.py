from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from rest_framework.test import APIClient

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo

ALL_PERMISSIONS = ("todos.view_todo", "todos.add_todo", "todos.change_todo", "todos.delete_todo")


def client_of(user: Any, **policies: Any) -> APIClient:
    """A client that sends a fresh key of ``user``."""
    client = APIClient()
    generated = generate_keys(user, name="tests", **policies)
    client.credentials(HTTP_AUTHORIZATION=f"token {generated.token}")
    return client


def assert_error(response: Any, status: int, exc_type: str, sentence: str = "") -> None:
    """``response`` is an error in Frappe's envelope that says ``sentence``."""
    body = response.json()
    assert (response.status_code, body["exc_type"]) == (status, exc_type), body
    assert sentence in body["exception"]
    assert body["exc"]


@pytest.fixture
def worker(make_user: Callable[..., Any]) -> Any:
    """A user with every permission on ToDos."""
    return make_user("worker", permissions=ALL_PERMISSIONS)


@pytest.fixture
def api(worker: Any) -> APIClient:
    return client_of(worker)


@pytest.fixture
def make_todo(worker: Any) -> Callable[..., ToDo]:
    def make(description: str = "Water the plants", **values: Any) -> ToDo:
        return ToDo.objects.create(**{"owner": worker, "description": description, **values})

    return make


@pytest.fixture
def todo(make_todo: Callable[..., ToDo]) -> ToDo:
    return make_todo()


@pytest.fixture
def todos(make_todo: Callable[..., ToDo], make_user: Callable[..., Any]) -> list[ToDo]:
    """Three that differ in everything."""
    boss = make_user("boss")
    return [
        make_todo("Alpha 100%", name="a", priority="High", date=date(2026, 1, 1)),
        make_todo("Beta_1", name="b", status="Closed", date=date(2026, 2, 1), owner=boss),
        make_todo("Gamma\\", name="c", priority="Low", status="Cancelled"),
    ]
