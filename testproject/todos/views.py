"""The ToDos at Frappe's addresses: ``api/resource/ToDo`` and ``api/method/frappe.client.*``.

All use :class:`ToDos`, so that permissions, validation and filters are the same. With
``frappe_version=2`` they have the envelopes of Frappe's REST API v2 (``frappe/api/v2.py``).
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from frappe_tokens.api.envelope import FrappeEnvelopeMixin

from .columns import PATHS, columns, ordering, page
from .doctype import describe_doctype
from .filters import all_of, any_of
from .models import ToDo
from .parameters import flag, from_body, from_query, parsed, parsed_or_word, text
from .permissions import RolePermissions
from .schema import describe_calls, describe_logout, describe_resource
from .serializers import ToDoSerializer

NAME_LENGTH = 40  # as the model has it


class ToDos(FrappeEnvelopeMixin, GenericViewSet[ToDo]):
    """The operations on ToDos, with the authentication of the project's settings."""

    queryset = ToDo.objects.select_related("owner")
    serializer_class = ToDoSerializer
    permission_classes = [RolePermissions]
    required_scopes = ["todos"]  # scoped keys need this one

    def find(self, values: dict[str, Any]) -> tuple[list[Any], bool]:
        """Return the rows for ``fields``, ``filters``, ``order_by`` and the limits.

        And whether there are more.
        """
        names = columns(parsed("fields", values.get("fields")))
        start, length = page(values)
        rows = self.get_queryset().filter(self.condition(values))
        rows = rows.order_by(*ordering(values.get("order_by") or ""))
        found = self.get_serializer(rows[start : start + length + 1], many=True).data
        shown, has_more = found[:length], len(found) > length
        if flag("as_dict", values.get("as_dict", True)):
            return [{name: row[name] for name in names} for row in shown], has_more
        return [[row[name] for name in names] for row in shown], has_more

    def number(self, values: dict[str, Any]) -> int:
        count: int = self.get_queryset().filter(self.condition(values)).count()
        return count

    def condition(self, values: dict[str, Any]) -> Q:
        if values.get("group_by"):
            raise ValidationError("ToDos cannot be grouped. Leave out group_by.")
        return all_of(values.get("filters")) & any_of(values.get("or_filters"))

    def fetch(self, name: Any, lock: bool = False) -> ToDo:
        rows = ToDo.objects.select_for_update() if lock else self.get_queryset()
        try:
            return rows.get(name=text("name", name, NAME_LENGTH))
        except ToDo.DoesNotExist:
            raise NotFound(f"ToDo {name} not found.") from None

    def add(self, values: dict[str, Any]) -> dict[str, Any]:
        serializer = self.get_serializer(data=values)
        serializer.is_valid(raise_exception=True)
        return self.document(serializer.save(owner=self.request.user))

    @transaction.atomic
    def change(self, name: Any, values: dict[str, Any]) -> dict[str, Any]:
        # Locked, so that simultaneous changes don't undo each other or a deletion.
        todo = self.fetch(name, lock=True)
        serializer = self.get_serializer(todo, data=values, partial=True)
        # As in Frappe, a client that sends when the ToDo was modified undoes no later change.
        if values.get("modified") not in (None, "", self.get_serializer(todo).data["modified"]):
            raise ValidationError(
                "Document has been modified after you have opened it. "
                "Please refresh to get the latest document."
            )
        serializer.is_valid(raise_exception=True)
        return self.document(serializer.save())

    def document(self, todo: ToDo) -> dict[str, Any]:
        """Return the ToDo with the fields that Frappe's clients expect of every document."""
        return {"doctype": "ToDo", **self.get_serializer(todo).data, "docstatus": 0, "idx": 0}


@describe_resource
class ToDoResource(ToDos):
    """``api/resource/ToDo`` and ``api/resource/ToDo/<name>``, in v2 ``api/v2/document/ToDo``."""

    def list(self, request: Request) -> Response:
        rows, has_more = self.find(from_query(request))
        more = {"has_next_page": has_more} if self.frappe_version == 2 else {}
        return Response({"data": rows, **more})

    def create(self, request: Request) -> Response:
        return Response({"data": self.add(from_body(request))})

    def retrieve(self, request: Request, name: str) -> Response:
        return Response({"data": self.document(self.fetch(name))})

    def update(self, request: Request, name: str) -> Response:
        return Response({"data": self.change(name, from_body(request))})

    def destroy(self, request: Request, name: str) -> Response:
        self.fetch(name).delete()
        # Frappe 14 uses "message", Frappe 15 "data".
        return Response({"data": "ok", "message": "ok"}, status=202)


class ToDoType(ToDos):
    """``api/v2/doctype/ToDo``: what a ToDo consists of, and how many there are."""

    def meta(self, request: Request) -> Response:
        return Response({"data": describe_doctype()})

    def count(self, request: Request) -> Response:
        return Response({"data": self.number(from_query(request))})


@describe_calls
class ToDoCalls(ToDos):
    """``api/method/frappe.client.*``, with parameters in the query or the body."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.values = {**from_query(request), **from_body(request)}
        if self.action != "insert":
            self.check_doctype(self.values.get("doctype"))

    def check_doctype(self, doctype: Any) -> None:
        if not doctype:
            raise ValidationError("Name the DocType: doctype=ToDo.")
        if doctype != "ToDo":
            raise NotFound(f"DocType {ascii(doctype)[:80]} not found.")

    def get_list(self, request: Request) -> Response:
        return Response({"message": self.find(self.values)[0]})

    def get_count(self, request: Request) -> Response:
        return Response({"message": self.number(self.values)})

    def get_value(self, request: Request) -> Response:
        names = columns(parsed_or_word("fieldname", self.values.get("fieldname")))
        filters = parsed_or_word("filters", self.values.get("filters"))
        if filters and isinstance(filters, str):
            filters = {"name": filters}
        found, _ = self.find({"fields": names, "filters": filters, "limit": 1})
        if flag("as_dict", self.values.get("as_dict", True)):
            return Response({"message": found[0] if found else {}})
        values = list(found[0].values()) if found else None
        return Response({"message": values[0] if values and len(names) == 1 else values})

    def get_doc(self, request: Request) -> Response:
        return Response({"message": self.document(self.fetch(self.values.get("name")))})

    def insert(self, request: Request) -> Response:
        values = parsed("doc", self.values.get("doc"))
        if not isinstance(values, dict):
            raise ValidationError("Send doc as an object.")
        self.check_doctype(values.get("doctype"))
        return Response({"message": self.add(values)})

    def set_value(self, request: Request) -> Response:
        fieldname = parsed_or_word("fieldname", self.values.get("fieldname"))
        if not isinstance(fieldname, dict):
            fieldname = {text("fieldname", fieldname): self.values.get("value")}
        fields = ToDoSerializer().fields
        writable = [name for name in PATHS if not fields[name].read_only]
        for name in fieldname:
            if name not in writable:
                raise ValidationError(
                    f"{ascii(name)[:80]} cannot be set. You can set {', '.join(writable)}."
                )
        return Response({"message": self.change(self.values.get("name"), fieldname)})

    def delete_doc(self, request: Request) -> Response:
        self.fetch(self.values.get("name")).delete()
        return Response({"message": "ok"})


class Unknown(FrappeEnvelopeMixin, APIView):
    """All other addresses under ``api/``, for every HTTP method."""

    permission_classes = [AllowAny]
    accepts_any_scope = True
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("There is no such address, method or DocType.")


class Logout(FrappeEnvelopeMixin, APIView):
    """Clients call it at the end. It does nothing, because a key has no session."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @describe_logout
    def get(self, request: Request) -> Response:
        return Response({"message": {}})

    post = get
