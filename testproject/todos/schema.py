"""Describes the ToDos' URLs for OpenAPI."""

from __future__ import annotations

from typing import Any, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers

from .serializers import ToDoSerializer

View = TypeVar("View", bound=type)


class DocumentSerializer(ToDoSerializer):
    """A ToDo with the fields that Frappe's clients expect of every document."""

    doctype = serializers.CharField(read_only=True)
    docstatus = serializers.IntegerField(read_only=True)
    idx = serializers.IntegerField(read_only=True)

    class Meta(ToDoSerializer.Meta):
        fields = ["doctype", *ToDoSerializer.Meta.fields, "docstatus", "idx"]


def _in(name: str, key: str, value: Any) -> Any:
    """A component with ``value`` under ``key``."""
    return inline_serializer(name, {key: value})


def _query(*described: tuple[str, str]) -> list[OpenApiParameter]:
    return [OpenApiParameter(name, str, description=text) for name, text in described]


def _errors(*statuses: int) -> dict[int, OpenApiResponse]:
    sentences = {
        404: "There is no such ToDo or DocType.",
        415: "The body is neither JSON nor a form.",
        417: "A value is missing or invalid.",
    }
    envelope = {"$ref": "#/components/schemas/FrappeError"}
    return {status: OpenApiResponse(envelope, sentences[status]) for status in statuses}


ROWS = serializers.ListField(child=serializers.JSONField())
DATA = _in("ToDoData", "data", DocumentSerializer())
FILTERS = _query(
    ("filters", 'As JSON: `[["status", "=", "Open"]]` or `{"status": "Open"}`.'),
    ("or_filters", "The same, but only one must match."),
)
LIST = _query(
    ("fields", 'Names as JSON: `["name", "description"]`. The default is `name`.'),
    *((parameter.name, str(parameter.description)) for parameter in FILTERS),
    ("order_by", "For example `modified desc`."),
    ("limit_start", "How many to skip."),
    ("limit_page_length", "How many at most. The default is 20."),
    ("start", "Another name for `limit_start`."),
    ("limit", "Another name for `limit_page_length`."),
    ("as_dict", "`false` for lists of values instead of objects."),
)
DOCTYPE = _query(("doctype", "`ToDo`."))
NAME = _query(("name", "The name of the ToDo."))
FIELDNAME = _query(("fieldname", "One name, or several as JSON."))

describe_resource = extend_schema_view(
    list=extend_schema(
        operation_id="todos_list",
        summary="List ToDos",
        parameters=LIST,
        responses={200: _in("ToDoRows", "data", ROWS), **_errors(417)},
    ),
    create=extend_schema(summary="Create a ToDo", responses={200: DATA, **_errors(415, 417)}),
    retrieve=extend_schema(summary="Get a ToDo", responses={200: DATA, **_errors(404, 417)}),
    update=extend_schema(summary="Change a ToDo", responses={200: DATA, **_errors(404, 415, 417)}),
    destroy=extend_schema(
        summary="Delete a ToDo",
        responses={
            202: inline_serializer(
                "ToDoDeleted", {"data": serializers.CharField(), "message": serializers.CharField()}
            ),
            **_errors(404, 417),
        },
    ),
)


def _call(method: str, answer: Any, *parameters: OpenApiParameter) -> Any:
    """Describe one of Frappe's calls, whose parameters may also be in a body."""
    types = ("application/json", "application/x-www-form-urlencoded")
    return extend_schema(
        summary=f"frappe.client.{method}",
        parameters=[*DOCTYPE, *parameters],
        request=dict.fromkeys(types, OpenApiTypes.OBJECT),
        responses={200: answer, **_errors(404, 415, 417)},
    )


def _message(name: str, value: Any) -> Any:
    return _in(f"ToDo{name}Message", "message", value)


DOCUMENT = _message("", DocumentSerializer())
CALLS = {
    "get_list": _call("get_list", _message("List", ROWS), *LIST),
    "get_count": _call("get_count", _message("Count", serializers.IntegerField()), *FILTERS),
    "get_value": _call(
        "get_value", _message("Value", serializers.JSONField()), *FIELDNAME, *FILTERS[:1]
    ),
    "get_doc": _call("get", DOCUMENT, *NAME),
    "insert": extend_schema(
        summary="frappe.client.insert",
        request=_in("ToDoInsert", "doc", serializers.JSONField(help_text="With its `doctype`.")),
        responses={200: DOCUMENT, **_errors(404, 415, 417)},
    ),
    "set_value": _call("set_value", DOCUMENT, *NAME, *FIELDNAME),
    "delete_doc": _call("delete", _message("Deleted", serializers.CharField()), *NAME),
}


def describe_calls(view: View) -> View:
    # extend_schema_view only knows the actions of DRF's own viewsets.
    for name, describe in CALLS.items():
        describe(getattr(view, name))
    return view


describe_logout = extend_schema(
    summary="Log out, which does nothing",
    request=None,
    responses=_in("LoggedOut", "message", serializers.DictField()),
)
