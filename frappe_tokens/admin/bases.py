"""Django's classes that its stubs make generic, but that take no type argument at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core import paginator
from django.forms import models

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = models.ModelForm[Any]
    Paginator = paginator.Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = models.ModelForm
    Paginator = paginator.Paginator
