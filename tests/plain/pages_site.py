"""A site with every kind of page for people, and views beside them."""

from django.contrib import admin
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import include, path
from oauth2_provider.views import AuthorizationView
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import TokenAuthentication

from .site import who


class Api(APIView):
    authentication_classes = [TokenAuthentication]

    def get(self, request):
        return Response({"user": request.user.get_username()})


class Desk(AdminSite):
    """An admin site of the project's own, with a page and an API of its own."""

    def get_urls(self):
        return [
            path("report/", self.admin_view(self.report)),
            path("api/", self.admin_view(Api.as_view())),
            path("open-api/", Api.as_view()),
            *super().get_urls(),
        ]

    def report(self, request):
        return HttpResponse("for staff")


desk = Desk(name="desk")
desk.register(Group)

back_office = [path("desk/", desk.urls)]
# Without the namespace that AdminSite.urls has.
groups = ModelAdmin(Group, desk).get_urls()

urlpatterns = [
    path("who/", who),
    path("login/", who, name="login"),
    path("admin/", admin.site.urls),
    path("office/", include((back_office, "office"))),
    path("groups/", include(groups)),
    path("bare/", include(desk.get_urls())),
    path("account/api-keys/", include("frappe_tokens.account.urls")),
    path("api/", include("frappe_tokens.contrib.oauth2.urls")),
    path("o/", include("oauth2_provider.urls")),
    # A project's own, outside of the toolkit's namespace.
    path("consent/", AuthorizationView.as_view()),
]
