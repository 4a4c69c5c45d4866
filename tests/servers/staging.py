"""URLs of a site with a page and a REST view that are open to everyone."""

from django.http import HttpResponse
from django.urls import include, path
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response


def page(request):
    return HttpResponse(f"Hello {request.user}")


@api_view()
@permission_classes([AllowAny])
def view(request):
    return Response(f"Hello {request.user}")


urlpatterns = [
    path("page/", page),
    path("view/", view),
    path("api/view/", view),
    path("", include("testproject.urls")),
]
