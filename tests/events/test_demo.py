"""The consumer that ``manage.py demo`` makes; what it prints is tested with the other commands."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from frappe_tokens.keys import revoke
from testproject.events.models import EventConsumer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _debug(settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.delenv("PORT", raising=False)


def run_demo():
    printed = StringIO()
    call_command("demo", "--no-serve", stdout=printed)
    return printed.getvalue()


def test_running_again_keeps_the_consumer_unless_it_was_revoked():
    run_demo()
    first = EventConsumer.objects.get()
    assert "Frappe-Authorization-Source: EventConsumer" in run_demo()
    assert EventConsumer.objects.get() == first

    revoke(first)
    assert EventConsumer.objects.exclude(pk=first.pk).count() == 0
    run_demo()
    assert EventConsumer.objects.get(revoked_at=None).secret_digest


def test_says_so_where_its_key_has_expired():
    run_demo()
    EventConsumer.objects.update(expires_at=timezone.now())

    with pytest.raises(CommandError, match=r"Door sensor: .* has expired"):
        run_demo()


def test_the_manager_finds_the_consumer_in_the_admin(client):
    password = run_demo().split("manager / ")[1].split()[0]
    assert client.login(username="manager", password=password)
    consumer = EventConsumer.objects.get()

    for page in ("", f"{consumer.pk}/change/", f"{consumer.pk}/generate-keys/", "add/"):
        assert client.get(f"/admin/events/eventconsumer/{page}").status_code == 200
    assert client.get("/admin/events/event/").status_code == 200
    assert client.get("/admin/events/event/add/").status_code == 403
