"""The admin pages of the request log."""
