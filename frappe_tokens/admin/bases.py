"""What our pages are built on.

Django's stubs make these classes generic, but they take no type argument at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core import paginator
from django.forms import Media, models

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = models.ModelForm[Any]
    Paginator = paginator.Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = models.ModelForm
    Paginator = paginator.Paginator

# The styles and the scripts of our pages. The first has the colours.
STYLES = ("theme", "admin", "secrets", "usage", "lists")
MEDIA = Media(
    css={"all": [f"frappe_tokens/{name}.css" for name in STYLES]},
    js=["frappe_tokens/admin.js", "frappe_tokens/usage.js"],
)
