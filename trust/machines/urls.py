"""The site: a view that also reads from a replica, one that switches users off, and the app's."""

from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections, router
from django.urls import include, path
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trust.faults.urls import pid, who


class WhoView(APIView):
    def get(self, request: Request) -> Response:
        alias = router.db_for_read(get_user_model())
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            (from_replica,) = cursor.fetchone()
        return Response({"user": request.user.username, "from_replica": from_replica})


class UserView(APIView):
    permission_classes = [IsAdminUser]

    def patch(self, request: Request, username: str) -> Response:
        model = get_user_model()
        try:
            user = model._default_manager.using(router.db_for_write(model)).get(username=username)
            user.is_active = request.data["is_active"]
            user.save(update_fields=["is_active"])
        except DatabaseError:  # as while a standby is promoted
            return Response(status=503, headers={"Retry-After": "1"})
        return Response({"user": username})


urlpatterns = [
    path("drf/", WhoView.as_view()),
    path("plain/", who),
    path("pid/", pid),
    path("users/<str:username>/", UserView.as_view()),
    path("api/", include("frappe_tokens.urls")),
]
