from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("open/", views.OpenView.as_view()),
    path("frappe_tokens/", views.FrappeTokensView.as_view()),
    path("drf_token/", views.DRFTokenView.as_view()),
    path("knox/", views.KnoxView.as_view()),
]
