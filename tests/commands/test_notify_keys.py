"""``manage.py notify_keys``, and what the mails say."""

import re
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
import time_machine
from django.core.mail.backends.locmem import EmailBackend

from frappe_tokens.keys import (
    DueNotices,
    change_key,
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    prune_notices,
    revoke,
    send_notices,
)
from frappe_tokens.keys.notices import BATCH_SIZE
from frappe_tokens.models import ApiKey, SentNotice
from frappe_tokens.signals import key_expiring, key_unused

from ..conftest import receiving
from ..sources.models import Drone, Robot, Sensor
from . import running

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
DIGEST = "sha256$of a secret"

run = partial(running.run, "notify_keys")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(settings):
    """It is noon, and there is one source."""
    settings.FRAPPE_TOKENS = {}
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def ada(make_user):
    return make_user("ada", email="ada@example.com")


@pytest.fixture
def failing(monkeypatch):
    """The mail server refuses mails to these addresses."""
    addresses = set()
    deliver = EmailBackend.send_messages

    def send_messages(self, messages):
        if addresses & {address for message in messages for address in message.to}:
            raise OSError("the mail server said no")
        return deliver(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send_messages)
    return addresses


def make_key(user, api_key, **columns):
    columns = {"secret_digest": DIGEST, "created_at": NOW - DAY, **columns}
    return ApiKey.objects.create(user=user, name=api_key, api_key=api_key, **columns)


def reported(mail):
    """The API keys in a mail, in their order."""
    return re.findall(r"^API key: (.+)$", mail.body, re.MULTILINE)


def claims():
    return sorted(SentNotice.objects.values_list("source", "api_key", "kind", "about"))


def test_mails_about_keys_that_expire_soon_and_unused_ones(ada, mailoutbox):
    make_key(ada, "in two weeks", expires_at=NOW + 14 * DAY)
    make_key(ada, "today", expires_at=NOW + DAY)
    make_key(ada, "later", expires_at=NOW + 14 * DAY + SECOND)
    make_key(ada, "unused", last_used_at=NOW - 90 * DAY)
    make_key(ada, "never used", created_at=NOW - 100 * DAY)
    make_key(ada, "used", created_at=NOW - 100 * DAY, last_used_at=NOW - 90 * DAY + SECOND)

    out, err = run()

    assert (out, err) == ("Sent 1 email about 4 keys.\n", "")
    (mail,) = mailoutbox
    assert (mail.to, reported(mail)) == (
        ["ada@example.com"],
        ["today", "in two weeks", "never used", "unused"],
    )
    label = "frappe_tokens.apikey"
    assert claims() == [
        (label, "in two weeks", "expiring", NOW + 14 * DAY),
        (label, "never used", "unused", NOW - 100 * DAY),
        (label, "today", "last_day", NOW + DAY),
        (label, "unused", "unused", NOW - 90 * DAY),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--expiring-in", "3d"], ["soon", "unused"]),
        (["--expiring-in", "1d"], ["unused"]),
        (["--expiring-in", "0d"], ["unused"]),
        (["--unused-for", "200d"], ["soon"]),
        (["--unused-for", "0d"], ["soon"]),
        (["--unused-for", "12h"], ["soon", "unused", "soon"]),
    ],
    ids=" ".join,
)
def test_periods_are_options(make_user, ada, mailoutbox, arguments, expected):
    make_key(make_user("grace"), "used", last_used_at=NOW)
    make_key(ada, "soon", expires_at=NOW + 2 * DAY)
    make_key(ada, "unused", created_at=NOW - 100 * DAY)

    _, shown = running.run_on_terminal("notify_keys", *arguments)

    assert "1/1" in shown  # the users with such keys
    assert [name for mail in mailoutbox for name in reported(mail)] == expected


def test_leaves_out_keys_that_do_not_work(ada, mailoutbox):
    soon = {"expires_at": NOW + DAY, "created_at": NOW - 100 * DAY}
    revoke(make_key(ada, "revoked", **soon))
    disable(make_key(ada, "disabled", **soon))
    make_key(ada, "expired", **soon | {"expires_at": NOW})
    make_key(ada, "without a secret", **soon | {"secret_digest": ""})

    assert run()[0] == "Sent 0 emails about 0 keys.\n"
    assert (mailoutbox, claims()) == ([], [])


def test_counts_users_who_get_no_mail(make_user, ada, mailoutbox):
    for user in (
        make_user("gone", email="gone@example.com", is_active=False),
        make_user("grace"),
        make_user("hedy"),
        ada,
    ):
        make_key(user, f"key of {user}", expires_at=NOW + DAY)

    assert run()[0].splitlines() == [
        "Sent 1 email about 1 key.",
        "Left out 1 inactive user and 2 users without an email address.",
    ]
    assert [api_key for _label, api_key, *_ in claims()] == ["key of ada"]


def test_mails_each_user_once_about_the_keys_of_all_sources(make_user, ada, settings, mailoutbox):
    names = ("Robot", "Meter", "Drone", "Sensor")
    settings.FRAPPE_TOKENS = {"SOURCES": {name: f"sources.{name}" for name in names}}
    grace = make_user("grace", email="grace@example.com")
    soon = {"secret_digest": DIGEST, "expires_at": NOW + DAY}
    make_key(ada, "key", **soon)
    Robot.objects.create(user=ada, api_key="robot", serial_number=-1, **soon)
    Drone.objects.create(user=grace, api_key="drone", **soon)
    Sensor.objects.create(api_key="unowned", **soon)

    assert run()[0] == "Sent 2 emails about 3 keys.\n"
    assert [sorted(reported(mail)) for mail in mailoutbox] == [["key", "robot"], ["drone"]]
    assert [claim[:2] for claim in claims()] == [
        ("frappe_tokens.apikey", "key"),
        ("sources.robot", "drone"),
        ("sources.robot", "robot"),
    ]


def test_row_that_is_older_than_its_secret_is_not_unused(ada, mailoutbox, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    robot = Robot.objects.create(user=ada, created_at=NOW - 100 * DAY)
    generate_keys_for_source(robot)

    run()

    assert mailoutbox == []


def test_works_without_time_zones(ada, mailoutbox, settings):
    settings.USE_TZ = False
    now = NOW.replace(tzinfo=None)
    make_key(ada, "soon", created_at=now, expires_at=now + DAY)
    make_key(ada, "unused", created_at=now - 100 * DAY)

    run()
    run()

    assert [reported(mail) for mail in mailoutbox] == [["soon", "unused"]]
    assert "Expires: 2026-11-02 12:00" in mailoutbox[0].body


def test_mails_twice_about_an_expiry_and_once_about_a_time_without_use(ada, mailoutbox, clock):
    make_key(ada, "soon", expires_at=NOW + 10 * DAY)
    make_key(ada, "unused", created_at=NOW - 100 * DAY)

    sent = []
    for day in range(12):
        clock.move_to(NOW + day * DAY)
        run()
        run("--expiring-in", "30d", "--unused-for", "95d")
        sent.append([reported(mail) for mail in mailoutbox])
        mailoutbox.clear()

    assert [sent[0], sent[9]] == [[["soon", "unused"]], [["soon"]]]
    assert not any(sent[1:9] + sent[10:])


def test_new_expiry_and_new_use_are_new_periods(ada, mailoutbox, clock):
    renewed = make_key(ada, "renewed", expires_at=NOW + 2 * DAY)
    used = make_key(ada, "used", created_at=NOW - 100 * DAY)
    run()
    change_key(renewed, expires_at=NOW + 3 * DAY)
    ApiKey.objects.filter(pk=used.pk).update(last_used_at=NOW)
    clock.move_to(NOW + SECOND)
    run()
    assert [reported(mail) for mail in mailoutbox] == [["renewed", "used"], ["renewed"]]

    clock.move_to(NOW + 90 * DAY)
    run()

    assert reported(mailoutbox[-1]) == ["used"]


# How long notices are kept


def test_notices_about_an_expiry_are_deleted_a_month_after_it(ada, clock):
    make_key(ada, "soon", expires_at=NOW + 2 * DAY)
    run()
    clock.move_to(NOW + DAY)
    run()

    clock.move_to(NOW + 32 * DAY - SECOND)
    run()
    assert [kind for _, _, kind, _ in claims()] == ["expiring", "last_day"]
    clock.move_to(NOW + 32 * DAY)
    run("--dry-run")
    assert len(claims()) == 2
    run()
    assert claims() == []


@pytest.mark.parametrize("end", [revoke, lambda key: key.delete()], ids=["revoked", "deleted"])
def test_notices_about_an_expiry_are_deleted_a_month_after_the_key_has_gone(ada, clock, end):
    key = make_key(ada, "soon", expires_at=NOW + 90 * DAY)
    kept = make_key(ada, "kept", expires_at=NOW + 90 * DAY)
    run("--expiring-in", "90d")
    end(key)

    clock.move_to(NOW + 30 * DAY - SECOND)
    run("--expiring-in", "0d")
    assert len(claims()) == 2
    clock.move_to(NOW + 30 * DAY)
    run("--expiring-in", "0d")

    assert [api_key for _, api_key, _, _ in claims()] == [kept.api_key]


ENDS = {
    "used": lambda key: ApiKey.objects.filter(pk=key.pk).update(last_used_at=NOW + DAY),
    "rotated": lambda key: ApiKey.objects.filter(pk=key.pk).update(rotated_at=NOW + DAY),
    "revoked": revoke,
    "deleted": lambda key: key.delete(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_notices_about_a_time_without_use_are_deleted_a_month_after_its_end(
    ada, mailoutbox, clock, end
):
    key = make_key(ada, "unused", created_at=NOW - 100 * DAY)
    run()
    clock.move_to(NOW + DAY)
    end(key)

    clock.move_to(NOW + 30 * DAY - SECOND)
    run("--unused-for", "0d")
    assert len(claims()) == 1
    clock.move_to(NOW + 31 * DAY)
    run("--unused-for", "0d")

    assert claims() == []
    assert len(mailoutbox) == 1


def test_notice_is_kept_a_month_even_if_the_time_ended_long_ago(ada, clock):
    make_key(ada, "gone", last_used_at=NOW - 100 * DAY)
    run()
    ApiKey.objects.all().delete()

    run()

    assert len(claims()) == 1


def test_notice_about_a_key_that_may_come_back_stays_and_is_not_sent_again(
    ada, mailoutbox, clock, settings
):
    settings.FRAPPE_TOKENS = {"SOURCES": {"User": "frappe_tokens.ApiKey", "Robot": "sources.Robot"}}
    columns = {"created_at": NOW - 200 * DAY, "last_used_at": NOW - 100 * DAY}
    disabled, expired = (make_key(ada, name, **columns) for name in ("disabled", "expired"))
    make_key(ada, "unused", **columns)
    Robot.objects.create(user=ada, api_key="robot", secret_digest=DIGEST, **columns)
    run()
    disable(disabled)
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=NOW)

    clock.move_to(NOW + 200 * DAY)
    settings.FRAPPE_TOKENS = {}
    run()
    assert [api_key for _, api_key, _, _ in claims()] == ["disabled", "expired", "unused", "robot"]
    settings.FRAPPE_TOKENS = {"SOURCES": {"User": "frappe_tokens.ApiKey", "Robot": "sources.Robot"}}
    enable(disabled)
    generate_keys(ada, name="expired", expires_at=NOW + 400 * DAY)
    run()

    assert len(mailoutbox) == 1


def test_parallel_run_that_read_a_key_before_it_was_used_again_sends_nothing(
    ada, mailoutbox, clock
):
    key = make_key(ada, "unused", created_at=NOW - 100 * DAY)
    ((_user, notices),) = DueNotices([ApiKey], 14 * DAY, 90 * DAY)
    run()
    mailoutbox.clear()

    clock.move_to(NOW + 40 * DAY)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=NOW + 40 * DAY)
    run()

    assert send_notices(ada, notices) == []
    assert mailoutbox == []


def test_notice_that_a_parallel_run_has_sent_is_left_out(ada, mailoutbox):
    make_key(ada, "soon", expires_at=NOW + DAY)
    ((_user, notices),) = DueNotices([ApiKey], 14 * DAY, 90 * DAY)

    assert send_notices(ada, notices) == notices
    assert send_notices(ada, notices) == []
    assert len(mailoutbox) == 1


def test_failed_mail_is_logged_and_sent_by_the_next_run(make_user, failing, mailoutbox, caplog):
    for name in ("ada", "grace", "hedy"):
        user = make_user(name, email=f"{name}@example.com")
        make_key(user, f"key of {name}", expires_at=NOW + DAY)
    failing.add("grace@example.com")

    problem = running.error_of("notify_keys")

    assert problem.startswith("1 user could not be notified")
    assert "the mail server said no" in caplog.text
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"], ["hedy@example.com"]]
    failing.clear()
    run()
    assert [mail.to for mail in mailoutbox[2:]] == [["grace@example.com"]]


def test_dry_run_prints_and_sends_and_claims_nothing(ada, mailoutbox):
    make_key(ada, "soon", expires_at=NOW + DAY)
    make_key(ada, "unused", created_at=NOW - 100 * DAY)

    with receiving(key_expiring, key_unused) as calls:
        out, _ = run("--dry-run")

    assert out.splitlines() == [
        "ada <ada@example.com>",
        "  soon of ada (soon): expires 2026-11-02 12:00 UTC",
        "  unused of ada (unused): unused since 2026-07-24 12:00 UTC",
        "Would send 1 email about 2 keys.",
    ]
    assert (calls, mailoutbox, claims()) == ([], [], [])
    run()
    assert run("--dry-run")[0] == "Would send 0 emails about 0 keys.\n"


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 0), (1, 1), (2, 3)])
def test_prints_as_much_as_the_verbosity_allows(ada, verbosity, lines):
    make_key(ada, "soon", expires_at=NOW + DAY)

    assert len(run(verbosity=verbosity)[0].splitlines()) == lines


def test_digests_are_not_read(ada):
    make_key(ada, "soon", expires_at=NOW + DAY)

    ((_user, (notice,)),) = DueNotices([ApiKey], 14 * DAY, 90 * DAY)

    assert notice.key.get_deferred_fields() == {"secret_digest", "previous_digest"}


def test_key_that_changed_while_many_emails_were_sent_is_left_out(make_user):
    users = [make_user(f"user{number}") for number in range(BATCH_SIZE + 1)]
    for user in users:
        make_key(user, f"key of {user}", expires_at=NOW + DAY)

    due = iter(DueNotices([ApiKey], 14 * DAY, 90 * DAY))
    next(due)
    revoke(ApiKey.objects.get(user=users[-1]))

    assert [user for user, notices in due if not notices] == [None]


def test_keys_of_notices_are_read_at_once(ada, clock, django_assert_num_queries):
    for number in range(5):
        make_key(ada, f"unused {number}", created_at=NOW - 100 * DAY)
    run()
    clock.move_to(NOW + 31 * DAY)

    with django_assert_num_queries(3):  # obsolete notices, older ones, and their keys
        assert prune_notices([ApiKey]) == 0


def test_user_deleted_meanwhile_is_left_out(ada):
    make_key(ada, "soon", expires_at=NOW + DAY)
    due = DueNotices([ApiKey], 14 * DAY, 90 * DAY)
    ada.delete()

    assert [*due] == [(None, [])]


@contextmanager
def receiver(receive):
    for signal in (key_expiring, key_unused):
        signal.connect(receive)
    try:
        yield
    finally:
        for signal in (key_expiring, key_unused):
            signal.disconnect(receive)


def test_receivers_learn_of_each_key_before_the_mail(ada, mailoutbox):
    soon = make_key(ada, "soon", expires_at=NOW + DAY)
    unused = make_key(ada, "unused", created_at=NOW - 100 * DAY)
    seen = []

    def receive(signal, sender, instance):
        seen.append((signal, sender, instance, len(mailoutbox)))
        return False

    with receiver(receive):
        run()

    assert seen == [(key_expiring, ApiKey, soon, 0), (key_unused, ApiKey, unused, 0)]
    assert len(mailoutbox) == 1


def test_failed_query_of_a_receiver_does_not_undo_the_claim(ada, mailoutbox):
    make_key(ada, "soon", expires_at=NOW + DAY)

    def fail(**_):
        make_key(ada, "soon")

    with receiver(fail):
        run()

    assert (len(mailoutbox), len(claims())) == (1, 1)


def test_mail_says_which_key_until_when_and_what_to_do(make_user, settings, mailoutbox):
    settings.FRAPPE_TOKENS = {"SITE_URL": "https://example.com"}
    settings.TIME_ZONE = "Europe/Paris"
    user = make_user("<ada>", email="ada@example.com")
    made = generate_keys(
        user, name="ci & co", description="The build server", expires_at=NOW + DAY / 2
    )

    run()

    (mail,) = mailoutbox
    assert mail.subject == "Your API key expires on 2026-11-02"
    assert mail.body == (
        "Hello <ada>,\n\n"
        "One of your API keys expires soon. After that, requests with it are refused.\n\n"
        f"API key: {made.api_key}\nName: ci & co\nDescription: The build server\n"
        "Last used: never\nExpires: 2026-11-02 01:00 CET (in less than 24 hours)\n\n"
        "To keep a key, renew it: give it a later expiry and a new secret, and use the new secret "
        "in your programs.\n\n"
        "Manage your API keys: https://example.com/account/api-keys/\n\n"
    )
    ((html, kind),) = mail.alternatives
    assert kind == "text/html"
    assert "<td>ci &amp; co</td>" in html
    assert '<a href="https://example.com/account/api-keys/">' in html
    for text in (mail.subject, mail.body, html):
        assert made.api_secret not in text
        assert made.instance.secret_digest not in text


def test_mail_about_several_keys(ada, mailoutbox):
    for number in (2, 1):
        make_key(ada, f"soon{number}", expires_at=NOW + number * DAY)
        make_key(ada, f"unused{number}", created_at=NOW - (100 + number) * DAY)
    make_key(ada, "used", last_used_at=NOW - 200 * DAY)

    run()
    SentNotice.objects.all().delete()
    run("--expiring-in", "0d")
    SentNotice.objects.all().delete()
    run("--expiring-in", "0d", "--unused-for", "150d")

    assert [mail.subject for mail in mailoutbox] == [
        "2 of your API keys expire, the first on 2026-11-02",
        "Do you still need 3 of your API keys?",
        "Do you still need your API key?",
    ]
    mail = mailoutbox[0]
    assert reported(mail) == ["soon1", "soon2", "used", "unused2", "unused1"]
    assert "Some of your API keys have not been used for a long time." in mail.body
    assert "Last used: 2026-04-15 12:00 UTC\nUnused since: 2026-04-15 12:00 UTC" in mail.body
    assert "ask your administrator" in mail.body
