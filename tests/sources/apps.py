from django.apps import AppConfig


class SourcesConfig(AppConfig):
    name = "tests.sources"
    default_auto_field = "django.db.models.BigAutoField"
