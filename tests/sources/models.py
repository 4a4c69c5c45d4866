from __future__ import annotations

from django.db import models

from frappe_tokens.base_models import AbstractApiKey


class Robot(AbstractApiKey):
    """Another source of keys than ``ApiKey``."""

    serial_number = models.IntegerField(default=1)

    class Meta(AbstractApiKey.Meta):
        pass
