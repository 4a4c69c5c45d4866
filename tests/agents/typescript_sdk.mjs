// An agent with the unmodified TypeScript SDK of MCP, and with its OAuth 2 client.
//
// node typescript_sdk.mjs <endpoint> answers each line of its input, a JSON object, with one. Before
// that it may print {"open": <address>}, for the user's browser.

import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const endpoint = new URL(process.argv[2]);
const say = (event) => console.log(JSON.stringify(event));

const browser = new EventEmitter();
const loopback = createServer((request, response) => {
  response.end("Go back to the program.");
  const address = new URL(request.url, redirectUrl);
  if (address.pathname === "/callback") browser.emit("back", address.searchParams);
}).listen(0, "127.0.0.1");
await once(loopback, "listening");
const redirectUrl = `http://127.0.0.1:${loopback.address().port}/callback`;

// What the SDK stores: nothing outlives the process.
const memory = {};
const oauth = {
  redirectUrl,
  clientMetadata: {
    client_name: "TypeScript agent",
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  clientInformation: () => memory.client,
  saveClientInformation: (client) => (memory.client = client),
  tokens: () => memory.tokens,
  saveTokens: (tokens) => (memory.tokens = tokens),
  codeVerifier: () => memory.verifier,
  saveCodeVerifier: (verifier) => (memory.verifier = verifier),
  discoveryState: () => memory.discovery,
  saveDiscoveryState: (discovery) => (memory.discovery = discovery),
  invalidateCredentials: () => delete memory.tokens,
  redirectToAuthorization: (address) => say({ open: address.href }),
};

const connect = async () => {
  const client = new Client({ name: "TypeScript agent", version: "1" });
  const transport = new StreamableHTTPClientTransport(endpoint, { authProvider: oauth });
  const back = once(browser, "back");
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const [sent] = await back;
    await transport.finishAuth(sent.get("code"));
    return connect();
  }
  return client;
};

const answer = async (asked, client) => {
  if (asked.call) {
    const result = await client.callTool({ name: asked.call, arguments: asked.arguments ?? {} });
    return result.isError ? { error: result.content[0].text } : result.structuredContent;
  }
  if (asked.revoke) {
    const address = memory.discovery.authorizationServerMetadata.revocation_endpoint;
    const form = { token: memory.tokens.access_token, client_id: memory.client.client_id };
    const done = await fetch(address, { method: "POST", body: new URLSearchParams(form) });
    return { status: done.status };
  }
  return memory.tokens; // nothing to do where it expires: the SDK notices by a refused call
};

const client = await connect();
say({ tools: (await client.listTools()).tools.map((tool) => tool.name) });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await answer(JSON.parse(line), client));
  } catch (error) {
    say({ error: String(error) });
  }
}
