"""The admin module of a project with django-unfold."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from testproject.events.admin import EventConsumerAdmin
from testproject.events.models import EventConsumer
from tests import documentation

(EXAMPLE,) = documentation.blocks(documentation.page("how-to/theme-the-pages"), "python")
exec(compile(EXAMPLE, "theme-the-pages.md", "exec"), {"__name__": __name__})  # noqa: S102 - ours

admin.site.unregister(EventConsumer)
admin.site.register(EventConsumer, type("ConsumerAdmin", (EventConsumerAdmin, ModelAdmin), {}))
