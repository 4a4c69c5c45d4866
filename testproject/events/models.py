from django.conf import settings
from django.db import models

from frappe_tokens.base_models import AbstractApiKey


class EventConsumer(AbstractApiKey):
    """Something that posts events as a user, such as a sensor. The second source of keys."""

    name = models.CharField(max_length=100)

    class Meta(AbstractApiKey.Meta):
        verbose_name = "event consumer"
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """What a consumer posted, and the user that it ran as then."""

    consumer = models.ForeignKey(EventConsumer, on_delete=models.CASCADE, related_name="events")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="events"
    )
    kind = models.CharField(max_length=50)
    payload = models.JSONField(default=dict, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created", "-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
