"""Lists of ToDos: fields, filters, order and pages."""

import json
from datetime import datetime, timezone

import pytest

from testproject.todos.models import ToDo

from .conftest import LIST, assert_error

ALL = {"name", "owner", "creation", "modified", "description", "status", "priority", "date"}


def names(api, **query):
    """Return the names in the list for ``query``, sending lists and objects as JSON."""
    query = {
        key: json.dumps(value) if isinstance(value, list | dict) else value
        for key, value in query.items()
    }
    response = api.get(LIST, {"order_by": "name", **query})
    assert response.status_code == 200, response.json()
    return [row["name"] for row in response.json()["data"]]


def assert_refused(api, sentence, **query):
    assert_error(api.get(LIST, query), 417, "ValidationError", sentence)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("", {"name"}),
        ("[]", {"name"}),
        ('["name", "status", "name"]', {"name", "status"}),
        ('["`tabToDo`.`status`", "tabToDo.name"]', {"status", "name"}),
        ('"status"', {"status"}),
        ('["*"]', ALL),
        ('"*"', ALL),
    ],
)
def test_fields(api, todo, fields, expected):
    assert api.get(LIST, {"fields": fields}).json()["data"][0].keys() == expected


def test_rows_as_lists(api, todo):
    query = {"fields": '["status", "owner", "date"]', "as_dict": "False"}
    assert api.get(LIST, query).json() == {"data": [["Open", "worker", None]]}


@pytest.mark.parametrize("field", ["owner__password", "owner__is_superuser", "pk", "status__regex"])
def test_other_fields_are_refused_in_filters_and_orders(api, todo, field):
    assert_refused(api, "A ToDo has no field", filters=json.dumps({field: "x"}))
    assert_refused(api, "A ToDo has no field", or_filters=json.dumps([[field, "=", "x"]]))
    assert_refused(api, "A ToDo has no field", order_by=field)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], "abc"),
        ({}, "abc"),
        ("null", "abc"),
        ({"status": "Open"}, "a"),
        ({"status": ["!=", "Open"], "owner": "worker"}, "c"),
        ([["status", "=", "Open"]], "a"),
        ([["ToDo", "status", "<>", "Open"], ["name", "<", "c"]], "b"),
        ([["name", ">", "b"]], "c"),
        ([["name", ">=", "b"]], "bc"),
        ([["name", "<=", "b"]], "ab"),
        ([["status", "in", ["Open", "Closed"]]], "ab"),
        ([["status", "in", "Open, Closed"]], "ab"),
        ([["status", "in", []]], ""),
        ([["status", "NOT  IN", ["Open"]]], "bc"),
        ([["date", "not in", ["2026-01-01"]]], "bc"),
        ([["date", "=", "2026-01-01"]], "a"),
        ([["date", "=", None]], "c"),
        ([["date", "!=", None]], "ab"),
        ([["date", "is", "set"]], "ab"),
        ([["date", "is", "not set"]], "c"),
        ([["owner", "is", "not set"]], ""),
        ([["date", "between", ["2026-01-01", "2026-01-31"]]], "a"),
        ([["name", "between", ["b", "c"]]], "bc"),
        ([["description", "=", 7]], ""),
        # LIKE: the client's wildcards count, the backslash does not.
        ([["description", "like", "%a%"]], "abc"),
        ([["description", "like", "ALPHA%"]], "a"),
        ([["description", "like", "beta__"]], "b"),
        ([["description", "like", "g%_m\\"]], ""),
        ([["description", "like", "g%ma\\"]], "c"),
        ([["description", "not like", "%eta%"]], "ac"),
        ([["owner", "like", "BO%"]], "b"),
    ],
)
def test_filters(api, todos, filters, expected):
    assert names(api, filters=filters) == list(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["2026-01-02", "2026-01-03"], "bc"),
        (["2026-01-02 12:00:00", "2026-01-03 12:00:00"], "bc"),
        (["2026-01-02T12:00:00.000001", "2026-01-03"], "c"),
        (["2026-01-02T13:30:00+01:00", "2026-01-03T11:59:59Z"], ""),
    ],
)
def test_filters_of_times(api, todos, value, expected):
    for day, todo in enumerate(todos, start=1):
        moment = datetime(2026, 1, day, 12, tzinfo=timezone.utc)
        ToDo.objects.filter(pk=todo.pk).update(creation=moment)
    assert names(api, filters=[["creation", "between", value]]) == list(expected)


def test_or_filters(api, todos):
    either = [["status", "=", "Closed"], ["priority", "=", "Low"]]
    assert names(api, or_filters=either) == ["b", "c"]
    assert names(api, or_filters=either, filters={"owner": "worker"}) == ["c"]
    many = [["name", "in", ["a"] * 400]]
    assert names(api, filters=many, or_filters=[["name", "=", "a"]] * 400) == ["a"]
    row = api.get(f"{LIST}/b").json()["data"]
    assert names(api, filters={"creation": row["creation"]}) == ["b"]


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        *[(filters, "filters is not valid JSON.") for filters in ("{", "[" * 5000)],
        ("7", "Send filters as a list"),
        ('["status", "=", "Open"]', "Send filters as a list"),
        ('[["status", "Open"]]', "A filter is [field, operator, value]"),
        ('[["status", 1, "Open"]]', "A filter is [field, operator, value]"),
        ("[[1, 2, 3, 4, 5]]", "A filter is [field, operator, value]"),
        ('[["User", "password", "=", "x"]]', "only be filtered by fields of ToDo"),
        ('{"status": ["Open", "Closed"]}', "'open' is not an operator"),
        ('[["status", "is", "null"]]', "'is' is not an operator"),
        ('[["status", "\\ud800", "a"]]', "is not an operator"),
        ('[["status", "=", ["a"]]]', "status must be a string or a number"),
        ('[["status", "=", true]]', "status must be a string or a number"),
        ('[["status", ">", null]]', "status must be a string or a number"),
        ('[["date", ">", "2026-02-31"]]', "date must be a date such as 2026-01-31"),
        ('[["status", "in", 7]]', "status: send the values as a list"),
        ('[["status", "between", ["a"]]]', "between needs two values"),
        ('[["owner", "like", "\\u0000"]]', "cannot be stored"),
        ('[["owner", "like", "\\ud800"]]', "cannot be stored"),
        (json.dumps([["name", "=", "a" * 501]]), "name may have at most 500"),
        (json.dumps([["name", "in", ["a"] * 401]]), "at most 400 values"),
        (json.dumps([["name", "=", "a"]] * 401), "at most 400 values"),
        ('[["date", "like", "2026%"]]', "date is not a string"),
        *[
            (f'[["{name}", "=", "{value}"]]', f"{name} must be a {kind}")
            for name, kind in (("date", "date"), ("creation", "time"))
            for value in ("soon", "2026-02-30 12:00:00", "0001-01-01 00:00:00+14:00")
        ],
    ],
)
def test_unusable_filters_are_refused(api, todo, filters, sentence):
    assert_refused(api, sentence, filters=filters)


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("name desc", "cba"),
        ("`tabToDo`.`name` DESC", "cba"),
        ("name,name desc", "abc"),
        ("owner, name desc", "bca"),
        ("owner desc", "acb"),
        ("date", "cab"),
        ("date desc", "bac"),
        ("modified asc", "abc"),
        ("", "cba"),
    ],
)
def test_order(api, todos, order_by, expected):
    for day, todo in enumerate(todos, start=1):
        moment = datetime(2026, 1, day, tzinfo=timezone.utc)
        ToDo.objects.filter(pk=todo.pk).update(modified=moment)
    assert names(api, order_by=order_by) == list(expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": "2"}, 2),
        ({"limit_page_length": "2"}, 2),
        ({"limit_start": "1", "limit": "2"}, 2),
        ({"start": "500"}, 1),
        ({"limit_start": "500"}, 1),
        ({"limit_start": "1000000"}, 0),
        ({"limit": "", "limit_page_length": "3"}, 3),
        ({}, 20),
        ({"limit": "0"}, 500),
        ({"limit": "999999999999999999"}, 500),
    ],
)
def test_pages(api, worker, query, expected):
    ToDo.objects.bulk_create(ToDo(owner=worker, description="a") for _ in range(501))
    assert len(names(api, **query)) == expected


@pytest.mark.parametrize("name", ["limit", "limit_page_length", "limit_start", "start"])
def test_unusable_limits_are_refused(api, todo, name):
    for value in ("-1", "x", "1.5", "\u0661", "1" * 5000, "\0"):
        assert_refused(api, f"{name} must be a whole number", **{name: value})


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"limit_start": "1000001"}, "limit_start must be at most 1000000"),
        ({"start": "1000001"}, "start must be at most 1000000"),
        ({"fields": "name"}, "fields is not valid JSON"),
        ({"fields": '{"name": 1}'}, "Send fields as a list"),
        ({"as_dict": "perhaps"}, "as_dict must be true or false"),
        ({"group_by": "status"}, "Leave out group_by"),
        ({"order_by": "name sideways"}, '"asc" or "desc"'),
        ({"order_by": "name desc nulls last"}, '"asc" or "desc"'),
        *(
            ({name: value}, "A ToDo has no field")
            for name, values in [
                ("order_by", ["name,", "name;drop", "?"]),
                ("fields", ['["password"]', '["owner__password"]', '["owner.password"]']),
                ("fields", ['["pk"]', '["count(name)"]', "[7]", "[[]]"]),
                ("fields", ['["\\ud800"]', '["\\u0000"]']),
            ]
            for value in values
        ),
    ],
)
def test_unusable_parameters_are_refused(api, todo, query, sentence):
    assert_refused(api, sentence, **query)
