"""An agent with the unmodified Python SDK of MCP, and with its OAuth 2 client.

``python -m tests.agents.python_sdk <endpoint>`` answers each line of its input, a JSON object, with
one. Before that it may print ``{"open": <address>}``, for the user's browser.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from .loopback import Loopback


class Memory:
    """What the SDK stores: nothing outlives the process."""

    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


async def main(endpoint):
    loopback, memory = Loopback(), Memory()

    async def open_browser(address):
        say(open=address)

    async def come_back():
        sent = await asyncio.to_thread(loopback.wait)
        if "error" in sent:
            raise PermissionError(sent["error"])
        return AuthorizationCodeResult(**sent)

    metadata = OAuthClientMetadata(
        client_name="Python agent",
        redirect_uris=[loopback.redirect_uri],
        grant_types=["authorization_code", "refresh_token"],
    )
    oauth = OAuthClientProvider(endpoint, metadata, memory, open_browser, come_back)

    async def answer(asked, client):
        if "call" in asked:
            result = await client.call_tool(asked["call"], asked.get("arguments", {}))
            return (
                {"error": result.content[0].text} if result.is_error else result.structured_content
            )
        if "expire" in asked:  # an hour later, by the SDK's clock
            oauth.context.token_expiry_time = 1
        if "revoke" in asked:
            address = str(oauth.context.oauth_metadata.revocation_endpoint)
            form = {"token": memory.tokens.access_token, "client_id": memory.client_info.client_id}
            async with httpx2.AsyncClient() as plain:
                return {"status": (await plain.post(address, data=form)).status_code}
        return memory.tokens.model_dump()

    http = httpx2.AsyncClient(auth=oauth, timeout=30)
    async with http, Client(streamable_http_client(endpoint, http_client=http)) as client:
        say(tools=[tool.name for tool in (await client.list_tools()).tools])
        while line := await asyncio.to_thread(sys.stdin.readline):
            say(**await answer(json.loads(line), client))


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except Exception as error:  # the SDK ends all that it does if it gets no access
        say(error=str(error))
        raise
