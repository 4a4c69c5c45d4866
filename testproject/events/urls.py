from django.urls import re_path

from .views import Events

urlpatterns = [
    re_path("^events/?$", Events.as_view(), name="events"),
]
