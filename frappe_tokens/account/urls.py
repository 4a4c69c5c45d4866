"""``path("account/api-keys/", include("frappe_tokens.account.urls"))``."""

from django.urls import path

from . import views

app_name = "frappe_tokens_account"

urlpatterns = [
    path("", views.keys, name="keys"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("new/", views.new_key, name="new"),
    path("<int:pk>/rotate/", views.rotate_key, name="rotate"),
    path("<int:pk>/edit/", views.edit_key, name="edit"),
    path("<int:pk>/disable/", views.disable_key, name="disable"),
    path("<int:pk>/enable/", views.enable_key, name="enable"),
    path("<int:pk>/revoke/", views.revoke_key, name="revoke"),
]
