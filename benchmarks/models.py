from __future__ import annotations

from frappe_tokens.base_models import AbstractApiKey


class FewKeys(AbstractApiKey):
    """A source with few rows, to compare with :class:`ManyKeys` in the same run."""

    class Meta(AbstractApiKey.Meta):
        pass


class ManyKeys(AbstractApiKey):
    """A source with very many rows."""

    class Meta(AbstractApiKey.Meta):
        pass
