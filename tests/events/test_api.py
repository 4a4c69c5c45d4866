"""``api/events/`` of the example project, whose consumers are a second source of keys."""

import pytest
from django.test import Client

from testproject.events.models import Event

from .conftest import EVENTS, SOURCE, post

pytestmark = pytest.mark.django_db


def test_consumer_posts_as_its_user_by_every_scheme(consumer, header_of):
    response = post(consumer, header=header_of(consumer))

    assert response.status_code == 201
    event = Event.objects.get()
    assert (event.consumer, event.user.get_username()) == (consumer.instance, "ada")
    assert (event.kind, event.payload) == ("door opened", {"door": "north"})
    assert str(event) == f"door opened {event.pk}"
    body = response.json()
    assert (body["consumer"], body["user"]) == ("Door sensor", "ada")


def test_body_cannot_choose_the_user(consumer, make_user):
    other = make_user("grace")
    post(consumer, {"kind": "x", "user": other.pk, "consumer": 987, "created": "2020-01-01"})

    event = Event.objects.get()
    assert (event.user.get_username(), event.consumer) == ("ada", consumer.instance)
    assert event.created.year != 2020


def test_a_users_own_key_posts_nothing(keys):
    response = post(keys, frappe_authorization_source="User")

    assert response.status_code == 403
    assert "Frappe-Authorization-Source: EventConsumer" in response.json()["detail"]
    assert not Event.objects.exists()


def test_anonymous_clients_and_sessions_post_nothing(user):
    client = Client()
    assert client.get(EVENTS).status_code == client.post(EVENTS, {"kind": "x"}).status_code == 401
    client.force_login(user)

    assert client.post(EVENTS, {"kind": "x"}).status_code == 403
    assert not Event.objects.exists()


def test_users_see_their_own_events(consumer, keys, make_consumer, make_user):
    post(consumer)
    post(make_consumer(name="Till", user=make_user("grace")), {"kind": "sale"})

    own = {"authorization": f"token {keys.token}"}
    for headers in (own, {"authorization": f"token {consumer.token}", **SOURCE}):
        listed = Client().get(EVENTS.rstrip("/"), headers=headers).json()
        assert [event["kind"] for event in listed["results"]] == ["door opened"]
        assert listed["count"] == 1


def test_policies_hold_for_a_consumers_key(make_consumer):
    for policies, code in [
        ({"read_only": True}, "key_read_only"),
        ({"scopes": ["todos"]}, "insufficient_scope"),
        ({"allowed_ips": ["192.0.2.0/24"]}, "ip_not_allowed"),
    ]:
        refused = post(make_consumer(**policies))
        assert (refused.status_code, refused.json()["code"]) == (403, code)

    assert not Event.objects.exists()
    accepted = post(make_consumer(scopes=["events"], allowed_ips=["127.0.0.0/8"]))
    assert accepted.status_code == 201


PAYLOADS = ['{"a": ["\\u0000"]}', '{"\\ud800": 1}', "NaN", "1e999", "[" * 100_000]


@pytest.mark.parametrize(
    "event",
    [
        *("{}", '{"kind": ""}', '{"kind": "%s"}' % ("x" * 51)),
        *(f'{{"kind": "x", "payload": {payload}}}' for payload in PAYLOADS),
    ],
    ids=range(8),
)
def test_invalid_event_is_refused(consumer, event):
    assert post(consumer, event).status_code == 400
    assert not Event.objects.exists()


def test_payload_may_be_any_json_that_every_database_takes(consumer):
    for payload in ({}, [1, {"deep": ["x"]}], "word", 1.5, True, {"a": None}):
        assert post(consumer, {"kind": "x", "payload": payload}).json()["payload"] == payload
    for depth, status in [(20, 201), (21, 400), (950, 400)]:
        event = '{"kind": "x", "payload": ' + "[" * depth + "1" + "]" * depth + "}"
        assert post(consumer, event).status_code == status
