from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/login/", LoginView.as_view(), name="login"),
    path("account/api-keys/", include("frappe_tokens.account.urls")),
    path("api/", include("frappe_tokens.urls")),
    path("api/", include("testproject.events.urls")),
    # Last, because it answers for every address under api/method/ that nobody else has.
    path("", include("testproject.todos.urls")),
]
