"""The application of the asynchronous server."""

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from frappe_tokens.asgi import close_at_shutdown

from . import reporting

reporting.start()

_http = close_at_shutdown(get_asgi_application())

# After Django's set-up.
from .site import socket  # noqa: E402

application = ProtocolTypeRouter({"http": _http, "websocket": socket})
