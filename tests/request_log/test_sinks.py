"""Which log ``REQUEST_LOG`` names."""

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import NullSink, Sink, current_sink
from frappe_tokens.request_log.buffered import BufferedSink
from frappe_tokens.request_log.sinks import DurableSink

from ..conftest import token_header
from .conftest import an_entry

URL = "/api/method/frappe.auth.get_logged_user"


class Shipper(Sink):
    """A project's own."""

    def __init__(self):
        self.shipped = []

    def write(self, entry):
        self.shipped.append(entry)


class Broken(Sink):
    """It has no ``write``."""


class Demanding(Sink):
    def __init__(self, address):
        """No one gives it the address."""


@pytest.mark.parametrize(
    ("name", "kind", "blocks"),
    [
        ("durable", DurableSink, True),
        ("buffered", BufferedSink, False),
        ("null", NullSink, False),
        (f"{__name__}.Shipper", Shipper, True),
    ],
)
def test_each_process_has_one_sink(settings, name, kind, blocks):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}

    assert type(current_sink()) is kind
    assert current_sink() is current_sink()
    assert current_sink().blocks is blocks


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("logs.Missing", "ModuleNotFoundError: No module named 'logs'"),
        (f"{__name__}.Missing", "ImportError"),
        (f"{__name__}.Demanding", "TypeError"),
        ("builtins.object", "does not extend frappe_tokens.request_log.Sink"),
        ("tables", "Make it one of 'durable', 'buffered', 'null'"),
    ],
)
def test_server_does_not_start_with_an_invalid_sink(settings, name, error):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}

    with pytest.raises(ImproperlyConfigured, match=f"REQUEST_LOG.*{error}"):
        WSGIHandler()


def test_sink_of_the_project_gets_the_entries(settings, client, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.Shipper"}

    client.get(URL, headers={"Authorization": token_header(keys)})

    (entry,) = current_sink().shipped
    assert (entry.path, entry.status, entry.outcome) == (URL, 200, "accepted")
    assert entry.user_id == keys.instance.user.pk
    current_sink().close()
    assert not ApiRequestLog.objects.exists()


def test_null_stores_nothing(settings, client, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}

    response = client.get(URL, headers={"Authorization": token_header(keys)})

    assert response.status_code == 200
    assert not ApiRequestLog.objects.exists()


def test_request_continues_if_the_sink_of_the_project_fails(settings, keys, caplog):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.Broken"}
    client = Client()  # its middleware has reported nothing yet

    for _ in range(3):
        response = client.get(URL, headers={"Authorization": token_header(keys)})
        assert response.status_code == 200

    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "A request can't be logged."
    assert record.exc_info is not None
    with pytest.raises(NotImplementedError):
        current_sink().write(an_entry())
