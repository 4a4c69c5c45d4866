"""A site whose views read its settings at each request, because its tests change them."""

from django.urls import path
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView


class WhoAmI(APIView):
    """Returns the user that the request runs as."""

    def get_authenticators(self):
        return [authentication() for authentication in api_settings.DEFAULT_AUTHENTICATION_CLASSES]

    def get(self, request):
        return Response(request.user.get_username())


urlpatterns = [path("", WhoAmI.as_view())]
