"""``api/events/``: a user's events, which consumers post."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.generics import ListCreateAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import FormParser
from rest_framework.permissions import IsAuthenticated

from frappe_tokens.api.bodies import CheckedBodyMixin
from frappe_tokens.api.envelope import StrictJSONParser

from .models import Event
from .permissions import OnlyConsumersPost
from .serializers import EventSerializer


class EventPages(PageNumberPagination):
    page_size = 50


@extend_schema_view(
    get=extend_schema(
        responses={
            200: EventSerializer(many=True),
            404: OpenApiResponse(OpenApiTypes.OBJECT, "There is no such page."),
        }
    )
)
class Events(CheckedBodyMixin, ListCreateAPIView[Event]):
    """``request.user`` is the consumer's user, and ``request.auth`` the consumer."""

    serializer_class = EventSerializer
    permission_classes = [IsAuthenticated, OnlyConsumersPost]
    pagination_class = EventPages
    parser_classes = [StrictJSONParser, FormParser]
    required_scopes = ["events"]  # scoped keys need this one

    def get_queryset(self) -> QuerySet[Event]:
        shown = Event.objects.select_related("consumer", "user")
        mine: QuerySet[Event] = shown.filter(user=self.request.user.pk)
        return mine

    def perform_create(self, serializer: Any) -> None:
        serializer.save(consumer=self.request.auth, user=self.request.user)
