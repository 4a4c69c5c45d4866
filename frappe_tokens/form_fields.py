"""Form fields."""

from __future__ import annotations

from typing import Any

from django import forms


class SeparatedListField(forms.CharField):
    """A list of words, written with spaces, commas or line breaks between them."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    # A form field may clean to whatever it likes; the stubs know a CharField's text only.
    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        return (super().to_python(value) or "").replace(",", " ").split()

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.to_python(data) != (initial or [])
