from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models

from frappe_tokens.base_models import AbstractApiKey, ApiKeyQuerySet


class Robot(AbstractApiKey):
    """Another source of keys than ``ApiKey``."""

    serial_number = models.IntegerField(default=1)

    # As the documentation describes a project's own manager.
    objects = models.Manager.from_queryset(ApiKeyQuerySet)()

    class Meta(AbstractApiKey.Meta):
        pass


class Drone(Robot):
    """One whose keys are in the table that it extends."""

    range = models.DurationField(null=True)

    class Meta:
        constraints = []  # they are on the other table


class Sensor(AbstractApiKey):
    """One with a user of its own, or none."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="sensor"
    )
    position = models.JSONField(null=True)

    class Meta(AbstractApiKey.Meta):
        pass


class Operator(get_user_model()):
    """Users as another model of the same table."""

    class Meta:
        proxy = True


class InService(models.Manager["Meter"]):
    def get_queryset(self):
        return super().get_queryset().filter(serial_number__gt=0)


class Meter(Robot):
    """One whose manager hides some of the keys."""

    objects = InService()

    class Meta:
        proxy = True


class Reported(models.QuerySet["Gauge"]):
    pass


class Gauge(Robot):
    """One with a queryset of its own."""

    objects = models.Manager.from_queryset(Reported)()

    class Meta:
        proxy = True
