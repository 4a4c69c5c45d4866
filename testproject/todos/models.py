from django.conf import settings
from django.db import models
from django.utils.crypto import get_random_string


def random_name() -> str:
    """Return a name like those of Frappe's documents without a naming rule."""
    return get_random_string(10, "abcdefghijklmnopqrstuvwxyz0123456789")


class ToDo(models.Model):
    """Frappe's ToDo, with the fields that the example needs."""

    class Status(models.TextChoices):
        OPEN = "Open"
        CLOSED = "Closed"
        CANCELLED = "Cancelled"

    class Priority(models.TextChoices):
        HIGH = "High"
        MEDIUM = "Medium"
        LOW = "Low"

    name = models.CharField(max_length=40, primary_key=True, default=random_name, editable=False)
    description = models.TextField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.MEDIUM)
    date = models.DateField(null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="todos", editable=False
    )
    creation = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "ToDo"
        verbose_name_plural = "ToDos"
        ordering = ["-modified", "name"]

    def __str__(self) -> str:
        return self.name
