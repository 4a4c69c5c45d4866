"""Filters of lists: of the example project's to-dos, and of API keys."""

import json
from datetime import date, timedelta

import pytest
from django.contrib.auth import get_user_model
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError
from rest_framework.test import APIRequestFactory

from frappe_tokens.api.keys import KeyList
from frappe_tokens.models import ApiKey
from testproject.todos.columns import PATHS
from testproject.todos.filters import all_of, any_of
from testproject.todos.models import ToDo

from ..client import NOON
from ..todos.conftest import LIST, client_of

pytestmark = pytest.mark.django_db

NEGATED = {"=": "!=", "like": "not like", "in": "not in"}
OPERATORS = [
    "=",
    "!=",
    "<>",
    "<",
    ">",
    "<=",
    ">=",
    "like",
    "NOT  like",
    "in",
    "not in",
    "between",
    "is",
]
# What a query can hold; JSON can hold more.
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text("ab%_\\ ", max_size=3)
DATES = st.sampled_from(
    ["2026-01-01", "2026-01-01 12:00:00", "0001-01-01", "9999-12-31", "2026-02-30"]
)
SIMPLE = (
    TEXTS
    | DATES
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["set", "not set", "Open"])
)
VALUES = SIMPLE | st.text(max_size=3) | st.lists(SIMPLE, max_size=3)
CONDITIONS = st.tuples(st.sampled_from([*PATHS]), st.sampled_from(OPERATORS), VALUES).map(list)
JSON = st.recursive(
    SIMPLE | st.sampled_from([*PATHS, *OPERATORS]) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*PATHS]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def todos(make_user):
    """To-dos that differ in everything, some without a date."""
    owners = [make_user(name, permissions=("todos.view_todo",)) for name in ("a", "ab")]
    for number, text in enumerate(["a", "ab", "b%", "_", "\\", "Open"]):
        day = date(2026, 1, 1) + timedelta(days=number) if number % 3 else None
        ToDo.objects.create(
            name=f"{number}",
            owner=owners[number % 2],
            description=text,
            date=day,
            status=ToDo.Status.values[number % 3],
        )


def found(condition, filters):
    """Return the names that match; None if the filters are refused."""
    try:
        return set(ToDo.objects.filter(condition(filters)).values_list("name", flat=True))
    except ValidationError:
        return None


@given(CONDITIONS, CONDITIONS)
def test_filters_are_combined_as_sets_are(todos, one, other):
    first, second = found(all_of, [one]), found(all_of, [other])

    both, either = found(all_of, [one, ["ToDo", *other]]), found(any_of, [one, other])

    if first is None or second is None:
        assert both is either is None
    else:
        assert both == first & second
        assert either == first | second
    assert found(all_of, json.dumps([one])) == first
    if negation := NEGATED.get(one[1]):
        negated = found(all_of, [[one[0], negation, one[2]]])
        everything = set(ToDo.objects.values_list("name", flat=True))
        assert negated == (None if first is None else everything - first)


# A string is read as JSON.
@given(JSON.filter(lambda value: not isinstance(value, str)))
def test_any_filter_is_a_condition_or_refused(todos, value):
    for condition in (all_of, any_of):
        assert found(condition, value) == found(condition, json.dumps(value))


QUERIES = st.dictionaries(
    st.sampled_from(
        [
            "fields",
            "filters",
            "or_filters",
            "order_by",
            "limit",
            "limit_start",
            "as_dict",
            "group_by",
        ]
    ),
    JSON.map(json.dumps)
    | st.text(CHARACTERS, max_size=5)
    | st.sampled_from(["name desc", "owner,date", '["*"]', '["name"]', "1", "0", "null", "false"]),
    max_size=4,
)


@given(QUERIES)
def test_any_query_of_a_list_is_answered_or_refused(todos, query):
    api = client_of(get_user_model()._default_manager.get(username="a"))

    response = api.get(LIST, query)

    assert response.status_code in (200, 417)
    assert ("data" in response.json()) == (response.status_code == 200)
    ApiKey.objects.all().delete()


PARAMS = {
    "user": st.sampled_from(["a", "ab", "manager", ""]),
    "name": st.sampled_from(["", "one", "two", "\0"]),
    "state": st.sampled_from(["active", "disabled", "expired", "revoked", "", "other"]),
    "read_only": st.sampled_from(["true", "false", "", "1"]),
    "unused": st.sampled_from(["true", "false", "", "yes"]),
    "last_used_before": st.sampled_from(
        [NOON.isoformat(), "2030-03-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00", ""]
    ),
    "expires_before": st.sampled_from([NOON.isoformat(), "9999-12-31T23:59:59-14:00", "soon"]),
    "metadata.team": st.sampled_from(["ops", "1", "true", ""]),
    "metadata.": st.just("x"),
    "other": st.just("x"),
}
PARAMETERS = st.sampled_from([*PARAMS]).flatmap(
    lambda name: st.tuples(st.just(name), PARAMS[name] | st.text(CHARACTERS, max_size=4))
)


@pytest.fixture
def keys(make_user, system_manager):
    users = [make_user("a"), make_user("ab"), system_manager]
    metadata = [{}, {"team": "ops"}, {"team": 1}, {"team": ["ops"]}, {"team": True}]
    hour = timedelta(hours=1)
    for number in range(24):
        ApiKey.objects.create(
            user=users[number % 3],
            name=["", "one", "two"][number // 3 % 3] if number < 9 else f"{number}",
            read_only=number % 2 == 0,
            metadata=metadata[number % 5],
            last_used_at=NOON - hour if number % 4 == 0 else None,
            expires_at=NOON + hour * (number - 12) if number % 3 == 1 else None,
            disabled_at=NOON if number % 5 == 1 else None,
            revoked_at=NOON if number > 18 else None,
            live=None if number > 18 else True,
        )
    return system_manager


def listed(manager, params):
    """Return the primary keys in the list; None if the query is refused."""
    view = KeyList()
    view.request = view.initialize_request(APIRequestFactory().get("/", params))
    view.request.user, view.request.auth = manager, None
    try:
        return set(view.filter_queryset(view.get_queryset()).values_list("pk", flat=True))
    except ValidationError:
        return None


@given(PARAMETERS, PARAMETERS)
def test_key_is_listed_if_each_filter_lists_it(keys, one, other):
    first, second = listed(keys, dict([one])), listed(keys, dict([other]))

    both = listed(keys, dict([one, other]))

    if one[0] == other[0]:
        assert both == second
    else:
        assert both == (None if first is None or second is None else first & second)
