"""The application of the synchronous server."""

from django.core.wsgi import get_wsgi_application

from . import reporting

reporting.start()

application = get_wsgi_application()
