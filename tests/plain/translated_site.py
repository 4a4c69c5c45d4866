from django.conf.urls.i18n import i18n_patterns
from django.urls import path

from .site import declared, who

urlpatterns = i18n_patterns(path("declared/", declared), path("who/", who))
