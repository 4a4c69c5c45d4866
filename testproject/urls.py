from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView

from testproject.mcp.views import Endpoint
from testproject.oauth import Callback

urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/login/", LoginView.as_view(), name="login"),
    path("account/api-keys/", include("frappe_tokens.account.urls")),
    path("oauth/callback/", Callback.as_view(), name="oauth_callback"),
    re_path("^api/mcp/?$", Endpoint.as_view(), name="mcp"),
    re_path("^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    path("api/", include("frappe_tokens.urls")),
    path("api/", include("frappe_tokens.contrib.oauth2.urls")),
    path("", include("frappe_tokens.contrib.oauth2.well_known")),
    path("api/", include("testproject.events.urls")),
    # Last, because it also handles all other URLs under api/.
    path("", include("testproject.todos.urls")),
]
