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
    """It fails."""


class Demanding(Sink):
    def __init__(self, address):
        """Nobody says where to."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("durable", DurableSink),
        ("buffered", BufferedSink),
        ("null", NullSink),
        (f"{__name__}.Shipper", Shipper),
    ],
)
def test_there_is_one_of_each_kind(settings, name, kind):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}
    assert type(current_sink()) is kind
    assert current_sink() is current_sink()


def test_only_a_buffer_and_nothing_do_not_block():
    assert [kind.blocks for kind in (Sink, DurableSink, BufferedSink, NullSink)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("logs.Missing", "ModuleNotFoundError: No module named 'logs'"),
        (f"{__name__}.Missing", "ImportError"),
        (f"{__name__}.Demanding", "TypeError"),
        ("builtins.object", "does not extend frappe_tokens.request_log.Sink"),
        ("tables", "Make it one of 'durable', 'buffered', 'null'"),
    ],
)
def test_a_server_does_not_start_with_a_wrong_one(settings, name, complaint):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}
    with pytest.raises(ImproperlyConfigured, match=complaint) as caught:
        WSGIHandler()
    assert "REQUEST_LOG" in str(caught.value)


def test_a_projects_own_gets_the_entries(settings, client, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.Shipper"}
    sink = current_sink()
    assert isinstance(sink, Shipper)
    client.get(URL, headers={"Authorization": token_header(keys)})
    (entry,) = sink.shipped
    assert (entry.path, entry.status, entry.outcome) == (URL, 200, "accepted")
    assert entry.user_id == keys.instance.user.pk
    assert not ApiRequestLog.objects.exists()
    sink.close()


def test_null_keeps_nothing(settings, client, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    answer = client.get(URL, headers={"Authorization": token_header(keys)})
    assert answer.status_code == 200
    assert not ApiRequestLog.objects.exists()


def test_a_request_goes_on_where_a_projects_own_fails(settings, client, keys, caplog):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.Broken"}
    client = Client()  # with a handler that has complained of nothing yet
    for _ in range(3):
        answer = client.get(URL, headers={"Authorization": token_header(keys)})
        assert answer.status_code == 200
    (complaint,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert complaint.getMessage() == "A request can't be logged."
    assert complaint.exc_info is not None
    with pytest.raises(NotImplementedError):
        current_sink().write(an_entry())
