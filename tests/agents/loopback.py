"""Where programs on a user's machine get the code: a server on the loopback interface."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit


class Loopback(HTTPServer):
    """Listens on a free port until the browser has come back."""

    back = ""  # the address that the browser came back to

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Page)
        self.redirect_uri = f"http://127.0.0.1:{self.server_port}/callback"

    def wait(self):
        """Return the parameters that the browser came back with."""
        self.back = ""
        while not self.back:
            self.handle_request()
        return dict(parse_qsl(urlsplit(self.back).query))


class _Page(BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path.startswith("/callback?")
        if found:
            self.server.back = f"http://127.0.0.1:{self.server.server_port}{self.path}"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"Go back to the program." if found else b"")

    def log_message(self, *args):
        """The program's output is for its answers."""
