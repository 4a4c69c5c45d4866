"""What an async server decides in its event loop, and what takes a thread."""

import asyncio
from datetime import timedelta

import pytest
import time_machine
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import generate_keys
from frappe_tokens.lookup import statement
from frappe_tokens.middleware import TokenAuthenticationMiddleware
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import authentication_failed, authentication_succeeded
from frappe_tokens.verification import averify, get_outcome, limiter
from frappe_tokens.verification.decision import RequestInfo

from ..client import IN_A_MINUTE, with_wrong_secret
from ..conftest import receiving, token_header
from ..event_loop import ELSEWHERE, LOCAL, WAITS, first_step, forget_changes, use_cache
from ..event_loop import local_memory as local_memory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("local_memory"),
]


class Request:
    """A request with a header, and the decision about it."""

    def __init__(self, header, method="GET", **meta):
        self.credential = parse(header, "token", "bearer")
        self.request = RequestFactory().generic(method, "/", **meta)

    async def _decide(self):
        try:
            return await averify(self.credential, RequestInfo(self.request))
        except Refused as refused:
            return refused.reason

    def in_loop(self):
        """Decide without a thread, if that is possible."""
        return asyncio.run(first_step(self._decide()))

    def served(self):
        """Decide in the loop or in a thread."""
        return asyncio.run(self._decide())

    @property
    def outcome(self):
        key, refused = get_outcome(self.request)
        return key, refused and refused.reason


def ask(keys, **meta):
    return Request(token_header(keys), **meta)


@pytest.fixture
def cached(keys):
    """The keys of a user, in local memory."""
    assert ask(keys).served() == keys.instance
    return keys


def test_malformed_credential_is_refused_in_the_loop(settings):
    use_cache(settings, ELSEWHERE)
    request = Request("token nonsense")
    assert request.in_loop() is Reason.MALFORMED_CREDENTIALS
    assert request.outcome == (None, Reason.MALFORMED_CREDENTIALS)


def test_key_in_local_memory_is_accepted_in_the_loop(cached, statements):
    request = ask(cached)
    with statements() as verbs:
        assert request.in_loop() == cached.instance
    assert verbs == []
    assert request.outcome == (cached.instance, None)


def test_every_check_is_made_in_the_loop(user):
    read_only = generate_keys(user, name="read only", read_only=True)
    local = generate_keys(user, name="local", allowed_ips=["192.0.2.0/24"])
    scoped = generate_keys(user, name="scoped", scopes=["reports"])
    for keys in (read_only, local, scoped):
        ask(keys, REMOTE_ADDR="192.0.2.1").served()
    ask(scoped).served()

    assert ask(read_only, method="POST").in_loop() is Reason.KEY_READ_ONLY
    assert ask(local, REMOTE_ADDR="192.0.3.1").in_loop() is Reason.IP_NOT_ALLOWED
    # It isn't cached, because no view has accepted it.
    assert ask(scoped).in_loop() == WAITS


def test_expired_key_is_refused_in_the_loop_at_its_very_moment(user):
    with time_machine.travel(IN_A_MINUTE, tick=False) as clock:
        keys = generate_keys(user, expires_at=IN_A_MINUTE + timedelta(seconds=5))
        ask(keys).served()
        clock.shift(timedelta(seconds=5))
        request = ask(keys)
        assert request.in_loop() is Reason.KEY_EXPIRED
        assert request.outcome == (keys.instance, Reason.KEY_EXPIRED)


def test_change_takes_effect_in_the_loop(cached):
    cached.instance.read_only = True
    cached.instance.save()
    assert ask(cached, method="POST").in_loop() == WAITS
    assert ask(cached, method="POST").served() is Reason.KEY_READ_ONLY


def test_each_failure_in_the_loop_is_counted_once(keys, user, settings):
    settings.FRAPPE_TOKENS |= {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(IN_A_MINUTE, tick=False) as clock:
        ends_at = IN_A_MINUTE + timedelta(seconds=5)
        expired = generate_keys(user, name="expired", expires_at=ends_at)
        for presented in (keys, expired):
            ask(presented).served()
        clock.move_to(ends_at)
        reasons = [ask(expired).in_loop() for _ in range(5)]
        assert reasons == [Reason.KEY_EXPIRED] * 3 + [Reason.TOO_MANY_FAILURES] * 2
        assert ask(keys).in_loop() == keys.instance


def test_wrong_secret_takes_a_thread_for_its_query(cached, statements):
    request = ask(with_wrong_secret(cached))
    with statements() as verbs:
        assert request.in_loop() == WAITS
    assert verbs == []
    assert get_outcome(request.request) is None
    assert request.served() is Reason.INVALID_CREDENTIALS


@pytest.mark.parametrize("failed", ["unknown key", "unknown source"])
def test_what_failed_too_often_is_refused_in_the_loop_with_any_cache(keys, settings, failed):
    use_cache(settings, ELSEWHERE)
    settings.FRAPPE_TOKENS |= {"FAILURE_LIMIT": "2/minute"}
    meta = {}
    if failed == "unknown key":
        ApiKey.objects.all().delete()
    else:
        meta["HTTP_FRAPPE_AUTHORIZATION_SOURCE"] = "Nobody"
    with time_machine.travel(IN_A_MINUTE):
        for _ in range(2):
            assert ask(keys, **meta).in_loop() == WAITS
            assert ask(keys, **meta).served() is Reason.INVALID_CREDENTIALS
        assert ask(keys, **meta).in_loop() is Reason.TOO_MANY_FAILURES
        assert ask(keys, **meta, REMOTE_ADDR="192.0.2.1").in_loop() == WAITS


def test_unknown_source_is_refused_in_the_loop_if_failures_are_counted_in_memory(keys):
    request = ask(keys, HTTP_FRAPPE_AUTHORIZATION_SOURCE="Nobody")
    assert request.in_loop() is Reason.INVALID_CREDENTIALS


def tenants_key(key, prefix, version):
    return f"tenant:{key}"


def counts_by_tenant(settings):
    use_cache(settings, LOCAL, KEY_FUNCTION=f"{__name__}.tenants_key")


class Router:
    def db_for_read(self, model, **hints):
        return None


def forget_statements(settings):
    statement._statements.clear()


WAITING = {
    "no cache": lambda settings: settings.FRAPPE_TOKENS.pop("CACHE"),
    "another cache": lambda settings: use_cache(settings, ELSEWHERE),
    "names of the project": counts_by_tenant,
    "a router": lambda settings: setattr(settings, "DATABASE_ROUTERS", [Router()]),
    "the statement is not compiled": forget_statements,
}


@pytest.mark.parametrize("change", WAITING.values(), ids=WAITING)
def test_lookup_takes_a_thread_unless_nothing_can_wait(cached, settings, change):
    change(settings)
    request = ask(cached)
    assert request.in_loop() == WAITS
    assert get_outcome(request.request) is None
    assert request.served() == cached.instance
    assert request.outcome == (cached.instance, None)


def test_refusals_are_remembered_for_each_tenant_so_that_a_thread_says_whose(keys, settings):
    counts_by_tenant(settings)
    settings.FRAPPE_TOKENS |= {"FAILURE_LIMIT": "1/minute"}
    ApiKey.objects.all().delete()
    with time_machine.travel(IN_A_MINUTE):
        assert ask(keys).served() is Reason.INVALID_CREDENTIALS
        assert limiter.is_active()
        assert ask(keys).in_loop() == WAITS
        assert ask(keys).served() is Reason.TOO_MANY_FAILURES


def test_recording_the_use_of_a_key_takes_a_thread(cached, settings):
    used_at = ApiKey.objects.get().last_used_at
    settings.FRAPPE_TOKENS |= {"LAST_USED_INTERVAL": timedelta(0)}
    request = ask(cached)
    assert request.in_loop() == WAITS
    assert get_outcome(request.request) is None
    assert ApiKey.objects.get().last_used_at == used_at
    assert ask(cached).served() == cached.instance
    assert ApiKey.objects.get().last_used_at > used_at


def test_replayed_secret_takes_a_thread_to_revoke_its_key(user, settings):
    with time_machine.travel(IN_A_MINUTE, tick=False) as clock:
        old = generate_keys(user)
        new = generate_keys(user, grace=timedelta(seconds=5))
        forget_changes()
        assert ask(new).served() == new.instance
        clock.shift(timedelta(seconds=5))
        assert ask(old).in_loop() is Reason.INVALID_CREDENTIALS
        settings.FRAPPE_TOKENS |= {"REVOKE_ON_REPLAY": True}
        assert ask(old).in_loop() == WAITS
        assert not ApiKey.objects.get().is_revoked
        assert ask(old).served() is Reason.INVALID_CREDENTIALS
        assert ApiKey.objects.get().is_revoked


def test_receivers_are_called_in_a_thread_and_once(cached):
    wrong = with_wrong_secret(cached)
    with receiving(authentication_succeeded) as succeeded:
        assert ask(cached).in_loop() == WAITS
        assert ask(wrong).served() is Reason.INVALID_CREDENTIALS
        assert ask(cached).served() == cached.instance
    assert [call["instance"] for call in succeeded] == [cached.instance]
    with receiving(authentication_failed) as failed:
        assert ask(cached).in_loop() == cached.instance
        for request in (ask(wrong), Request("token nonsense")):
            assert request.in_loop() == WAITS
            request.served()
    assert [call["code"] for call in failed] == ["invalid_credentials", "malformed_credentials"]


def test_receiver_may_query_and_changes_no_count(cached, settings):
    settings.FRAPPE_TOKENS |= {"FAILURE_LIMIT": "2/minute"}
    wrong, counts = with_wrong_secret(cached), []

    def count_keys(**kwargs):
        counts.append(ApiKey.objects.count())

    authentication_failed.connect(count_keys)
    try:
        with time_machine.travel(IN_A_MINUTE):
            reasons = [ask(wrong).served() for _ in range(3)]
    finally:
        authentication_failed.disconnect(count_keys)
    assert reasons == [Reason.INVALID_CREDENTIALS] * 2 + [Reason.TOO_MANY_FAILURES]
    assert counts == [1, 1, 1]


def test_audit_log_is_written_in_a_thread_and_once(cached, log):
    request = Request("token nonsense")
    assert request.in_loop() == WAITS
    assert log.records == []
    assert request.served() is Reason.MALFORMED_CREDENTIALS
    assert [record.event for record in log.records] == ["request_refused"]
    assert ask(cached).in_loop() == cached.instance


def test_user_model_that_queries_takes_a_thread(cached, monkeypatch):
    """Django refuses queries in an event loop."""
    user_model = type(cached.instance.user)
    is_active = property(lambda user: ApiKey.objects.filter(user=user).exists())
    monkeypatch.setattr(user_model, "is_active", is_active)
    forget_changes()

    assert ask(cached).served() == cached.instance
    assert ask(cached).in_loop() == WAITS
    assert ask(cached).served() == cached.instance


@pytest.mark.parametrize("secret", ["right", "malformed"])
def test_middleware_adds_no_wait_of_its_own(cached, secret):
    header = token_header(cached) if secret == "right" else "token nonsense"

    async def view(request):
        return HttpResponse((await request.auser()).get_username())

    async def serve():
        request = AsyncRequestFactory().get("/", headers={"Authorization": header})
        return await first_step(TokenAuthenticationMiddleware(view)(request))

    response = asyncio.run(serve())
    assert response.status_code == (200 if secret == "right" else 401)
    assert secret != "right" or response.content == b"ada"
