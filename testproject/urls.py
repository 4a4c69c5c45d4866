from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("frappe_tokens.urls")),
    # Last, because it answers for every address under api/method/ that nobody else has.
    path("", include("testproject.todos.urls")),
]
