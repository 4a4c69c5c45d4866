import pytest
from django.test import Client

from frappe_tokens.keys import generate_keys_for_source
from testproject.events.models import EventConsumer

EVENTS = "/api/events/"
SOURCE = {"frappe_authorization_source": "EventConsumer"}


@pytest.fixture
def make_consumer(user):
    """Makes consumers with keys that run as ``user``: ``make_consumer(read_only=True)``."""

    def make(**fields):
        consumer = EventConsumer.objects.create(**{"name": "Door sensor", "user": user, **fields})
        return generate_keys_for_source(consumer)

    return make


@pytest.fixture
def consumer(make_consumer):
    return make_consumer()


def post(keys, event=None, *, header=None, **headers):
    """What a POST with these keys gets; ``headers`` are more than the consumer's own."""
    return Client().post(
        EVENTS,
        {"kind": "door opened", "payload": {"door": "north"}} if event is None else event,
        content_type="application/json",
        headers={"authorization": header or f"token {keys.token}", **SOURCE, **headers},
    )
