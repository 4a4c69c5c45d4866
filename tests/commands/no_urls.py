"""A project that serves none of the calls."""

urlpatterns = []
