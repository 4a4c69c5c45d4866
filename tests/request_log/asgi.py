"""ASGI entry point, as the documentation of the request log has it."""

from django.core.asgi import get_asgi_application

from frappe_tokens.asgi import close_at_shutdown

application = close_at_shutdown(get_asgi_application())
