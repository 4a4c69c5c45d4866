"""Users choose when a key expires: after a number of days, on another date, or never."""

from datetime import datetime, timedelta, timezone

import pytest
import time_machine

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from tests.html import attribute, elements, text

from .conftest import NEW, make_key, page_of, rotate, secrets_on, text_of

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)

IN_30_DAYS = "30 days (March 31, 2026)"
IN_60_DAYS = "60 days (April 30, 2026)"
IN_90_DAYS = "90 days (May 30, 2026)"
OTHER = "Another date"


@pytest.fixture(autouse=True)
def _at_noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def lifetimes(settings):
    """Set ``DEFAULT_LIFETIME`` and ``MAX_LIFETIME``."""

    def set_lifetimes(default=None, longest=None):
        lifetimes = {"DEFAULT_LIFETIME": default, "MAX_LIFETIME": longest}
        settings.FRAPPE_TOKENS = {"SELF_SERVICE": True, **lifetimes}

    return set_lifetimes


def choices_on(response):
    """Return the value of each label, and the label that is chosen."""
    page = text_of(response)
    choices, chosen = {}, None
    for button in elements(page, "input", name_="expiry"):
        (label,) = elements(page, "label", for_=attribute(button, "id"))
        choices[text(label)] = attribute(button, "value")
        if "checked" in dict(button.attributes):
            chosen = text(label)
    return choices, chosen


def help_on(response):
    (help_text,) = elements(text_of(response), id="id_expires_at_helptext")
    return text(help_text)


# A new key


@pytest.mark.parametrize(
    ("default", "longest", "labels", "chosen"),
    [
        (None, None, [IN_30_DAYS, IN_60_DAYS, IN_90_DAYS, OTHER, "Never"], "Never"),
        (60 * DAY, None, [IN_30_DAYS, IN_60_DAYS, IN_90_DAYS, OTHER], IN_60_DAYS),
        (None, 60 * DAY, [IN_30_DAYS, IN_60_DAYS, OTHER], IN_60_DAYS),
        (DAY, 60 * DAY, ["1 day (March 2, 2026)", IN_30_DAYS, IN_60_DAYS, OTHER], None),
        (90 * DAY, 45 * DAY, [IN_30_DAYS, "45 days (April 15, 2026)", OTHER], None),
        (None, DAY / 2, ["Until March 2, 2026, midnight", OTHER], None),
    ],
)
def test_settings_limit_the_choices_for_a_new_key(ada, lifetimes, default, longest, labels, chosen):
    lifetimes(default, longest)

    choices, checked = choices_on(ada.get(NEW))

    assert list(choices) == labels
    # A choice that the settings add is the default.
    assert checked == (chosen or next(iter({*labels} - {IN_30_DAYS, IN_60_DAYS, OTHER})))


@pytest.mark.parametrize(
    ("label", "date", "expires_at"),
    [
        (IN_30_DAYS, "", NOON + 30 * DAY),
        ("Never", "", None),
        (OTHER, "2026-06-01T09:30", datetime(2026, 6, 1, 9, 30, tzinfo=timezone.utc)),
        # A date beside another choice doesn't count.
        (IN_90_DAYS, "2026-06-01T09:30", NOON + 90 * DAY),
        ("Never", "soon", None),
    ],
)
def test_key_expires_as_chosen(ada, label, date, expires_at):
    choices, _checked = choices_on(ada.get(NEW))

    assert secrets_on(make_key(ada, expiry=choices[label], expires_at=date))

    assert ApiKey.objects.get().expires_at == expires_at


@pytest.mark.parametrize(
    ("expiry", "date", "problem"),
    [
        ("custom", "", "Enter a date and a time."),
        ("custom", "soon", "Enter a valid date/time."),
        ("custom", "2026-03-01T12:00", "The expiry must be in the future."),
        ("custom", "2026-05-30T12:01", "The key must expire by"),
        ("", "2026-05-30T12:01", "The key must expire by"),
        ("never", "", "never is not one of the available choices."),
        ("8640000.0", "", "8640000.0 is not one of the available choices."),
    ],
)
def test_expiry_that_is_not_allowed_is_refused(ada, lifetimes, expiry, date, problem):
    lifetimes(longest=90 * DAY)

    answer = make_key(ada, expiry=expiry, expires_at=date)

    assert problem in text_of(answer)
    assert not ApiKey.objects.exists()


def test_latest_date_is_allowed_and_named_in_the_time_zone(ada, lifetimes, settings):
    assert help_on(ada.get(NEW)) == "In the time zone UTC."
    lifetimes(30 * DAY, 90 * DAY)
    settings.TIME_ZONE = "Asia/Tokyo"

    page = ada.get(NEW)

    latest = "At the latest May 30, 2026, 9 p.m., in the time zone Asia/Tokyo."
    assert help_on(page) == latest
    assert secrets_on(make_key(ada, expiry="custom", expires_at="2026-05-30T21:00"))
    assert ApiKey.objects.get().expires_at == NOON + 90 * DAY


def test_choices_are_right_without_time_zones(ada, lifetimes, settings):
    lifetimes(30 * DAY)
    settings.USE_TZ = False

    _choices, checked = choices_on(ada.get(NEW))

    assert checked.startswith("30 days (March 31, 2026")


# Rotation


@pytest.mark.parametrize(
    ("expires", "longest", "label", "kept"),
    [
        (None, None, "Never, as before", None),
        (2 * DAY, None, "As before: March 3, 2026, noon", 2 * DAY),
        (2 * DAY, 2 * DAY, "As before: March 3, 2026, noon", 2 * DAY),
        (2 * DAY, DAY, "As late as possible: March 2, 2026, noon", DAY),
        (None, DAY, "As late as possible: March 2, 2026, noon", DAY),
    ],
)
@pytest.mark.parametrize("sends_a_choice", [True, False])
def test_expiry_stays_by_default(
    ada, user, lifetimes, expires, longest, label, kept, sends_a_choice
):
    key = generate_keys(user, expires_at=expires and NOON + expires).instance
    lifetimes(longest=longest)

    choices, checked = choices_on(ada.get(page_of(key, "rotate")))
    sent = {"expiry": choices[label]} if sends_a_choice else {}
    assert secrets_on(rotate(ada, key, **sent))

    assert (next(iter(choices)), checked) == (label, label)
    assert ApiKey.objects.get().expires_at == (kept and NOON + kept)


def test_rotation_may_move_the_expiry(ada, user):
    key = generate_keys(user, expires_at=NOON + DAY).instance
    choices, _checked = choices_on(ada.get(page_of(key, "rotate")))
    assert list(choices)[1:] == [IN_30_DAYS, IN_60_DAYS, IN_90_DAYS, OTHER]

    assert secrets_on(rotate(ada, key, expiry=choices[IN_60_DAYS]))

    assert ApiKey.objects.get().expires_at == NOON + 60 * DAY


@pytest.mark.parametrize(
    ("default", "longest", "chosen"),
    [
        (None, None, IN_30_DAYS),
        (60 * DAY, None, IN_60_DAYS),
        (None, DAY, "1 day (March 2, 2026)"),
    ],
)
def test_expired_key_is_renewed_for_the_usual_lifetime(
    ada, keys, lifetimes, default, longest, chosen
):
    ApiKey.objects.update(expires_at=NOON)
    lifetimes(default, longest)

    page = ada.get(page_of(keys.instance, "rotate"))

    choices, checked = choices_on(page)
    assert checked == chosen
    assert not {"unchanged", "never"} & {*choices.values()}
    assert "Choose a later expiry to make it work again." in text_of(page)
    assert secrets_on(rotate(ada, keys.instance, expiry=choices[chosen]))
    assert ApiKey.objects.get().state == "active"


@pytest.mark.parametrize(
    ("expiry", "date", "problem"),
    [
        ("", "", "The key has expired. Enter a later expiry."),
        ("custom", "", "The key has expired. Enter a later expiry."),
        ("custom", "2026-03-01T12:00", "The expiry must be in the future."),
        ("custom", "2026-03-03T12:00", "The key must expire by"),
        ("custom", "soon", "Enter a valid date/time."),
        ("unchanged", "", "unchanged is not one of the available choices."),
        ("custom", "2026-03-02T12:00", ""),
        ("", "2026-03-02T12:00", ""),
    ],
)
def test_expired_key_needs_a_later_expiry(ada, keys, lifetimes, expiry, date, problem):
    ApiKey.objects.update(expires_at=NOON)
    lifetimes(longest=DAY)

    answer = rotate(ada, keys.instance, expiry=expiry, expires_at=date)

    assert problem in text_of(answer)
    assert bool(secrets_on(answer)) is not bool(problem)
    assert ApiKey.objects.get().expires_at == NOON + (0 * DAY if problem else DAY)
