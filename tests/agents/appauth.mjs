// An app on a user's device, with the unmodified AppAuth for JavaScript.
//
// node appauth.mjs <site> <port> has its redirect URI on the loopback interface, and without a port a
// private-use one. Answers each line of its input, a JSON object, with one. Before that it prints
// {"open": <address>}, for the user's browser. What comes back to a private-use redirect URI is
// passed to it by {"back": <address>}, as a phone's system does.

import { register } from "node:module";
import { createInterface } from "node:readline";

// AppAuth is written for bundlers, which find modules without their extension.
const resolve = (specifier, context, next) =>
  next(specifier, context).catch(() => next(`${specifier}.js`, context));
register(`data:text/javascript,${encodeURIComponent(`export const resolve = ${resolve}`)}`);
const appAuth = await import("@openid/appauth");
const { NodeBasedHandler, NodeCrypto } = await import(
  "@openid/appauth/built/src/node_support/index.js"
);
const { NodeRequestor } = await import("@openid/appauth/built/src/node_support/node_requestor.js");

const [site, port] = process.argv.slice(2);
const redirectUri = port ? `http://127.0.0.1:${port}/callback` : "com.example.app:/callback";
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
console.log = console.error; // AppAuth says there what it does

class Loopback extends NodeBasedHandler {
  buildRequestUrl(...given) {
    const address = super.buildRequestUrl(...given);
    say({ open: address });
    return address;
  }
}

// What AppAuth's handlers for Android and iOS do.
class PrivateUse extends appAuth.AuthorizationRequestHandler {
  async performAuthorizationRequest(configuration, request) {
    await request.setupCodeVerifier();
    say({ open: this.buildRequestUrl(configuration, request) });
    const { back } = JSON.parse((await lines.next()).value);
    const sent = Object.fromEntries(new URL(back).searchParams);
    const response = sent.code ? new appAuth.AuthorizationResponse(sent) : null;
    const error = sent.error ? new appAuth.AuthorizationError(sent) : null;
    this.result = { request, response, error };
    await this.completeAuthorizationRequestIfPossible();
  }

  async completeAuthorizationRequest() {
    return this.result;
  }
}

const metadata = await (await fetch(`${site}/.well-known/oauth-authorization-server`)).json();
const configuration = new appAuth.AuthorizationServiceConfiguration(metadata);
const registered = await fetch(metadata.registration_endpoint, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    client_name: "AppAuth",
    application_type: "native",
    redirect_uris: [redirectUri.replace(`:${port}`, "")], // on the loopback interface, any port
    response_types: ["code"],
    grant_types: ["authorization_code", "refresh_token"],
    token_endpoint_auth_method: "none",
  }),
});
const client = await registered.json();
if (registered.status !== 201) throw new Error(JSON.stringify(client));

const utils = new appAuth.BasicQueryStringUtils();
const handler = port ? new Loopback(Number(port)) : new PrivateUse(utils, new NodeCrypto());
const tokens = new appAuth.BaseTokenRequestHandler(new NodeRequestor());
const ask = (given) =>
  tokens.performTokenRequest(
    configuration,
    new appAuth.TokenRequest({
      client_id: client.client_id,
      redirect_uri: redirectUri,
      ...given,
    }),
  );

const notifier = new appAuth.AuthorizationNotifier();
handler.setAuthorizationNotifier(notifier);
const { request, response, error } = await new Promise((resolve) => {
  notifier.setAuthorizationListener((request, response, error) =>
    resolve({ request, response, error }),
  );
  handler.performAuthorizationRequest(
    configuration,
    new appAuth.AuthorizationRequest(
      { client_id: client.client_id, redirect_uri: redirectUri, scope: "todos", response_type: "code" },
      new NodeCrypto(),
    ),
  );
});
if (error) throw new Error(error.error);
if (request.state !== response.state) throw new Error("The state is another.");
let token = await ask({
  grant_type: appAuth.GRANT_TYPE_AUTHORIZATION_CODE,
  code: response.code,
  extras: { code_verifier: request.internal.code_verifier },
});
say({ scope: token.scope });

for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const asked = JSON.parse(line.value);
  if (asked.get) {
    const headers = { Authorization: `Bearer ${token.accessToken}` };
    const answer = await fetch(site + asked.get, { headers });
    say({ status: answer.status, ...(await answer.json()) });
  } else if (asked.refresh) {
    const before = token.accessToken;
    token = await ask({
      grant_type: appAuth.GRANT_TYPE_REFRESH_TOKEN,
      refresh_token: token.refreshToken,
    });
    say({ refreshed: before !== token.accessToken });
  } else {
    const revoke = new appAuth.RevokeTokenRequest({ token: token.refreshToken });
    say({ revoked: await tokens.performRevokeTokenRequest(configuration, revoke) });
  }
}
