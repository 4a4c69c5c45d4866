"""The URLs of OAuth 2 as OpenAPI has them. They aren't in the schema: the standards describe them.

What they answer is from RFC 6749 (5.2), 7009 (2.2), 7591 (3.2), 7662 (2.2 and 2.3), 8414 and 9728.
"""

METHODS = "/api/method/frappe.integrations.oauth2."
WELL_KNOWN = ("oauth-authorization-server", "openid-configuration", "oauth-protected-resource")

_TEXT = {"type": "string"}
_ERROR = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}


def _answer(*required):
    schema = {"type": "object", "required": [*required]}
    return {"description": "As asked.", "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses):
    content = {"application/json": {"schema": _ERROR}}
    return {str(status): {"description": "Refused.", "content": content} for status in statuses}


def _form(required, optional):
    """Return a body with these fields, and the values that they may have, if any."""
    fields = {**required, **optional}
    schema = {
        "type": "object",
        "properties": {
            name: {"anyOf": [{"enum": values}, _TEXT]} if values else _TEXT
            for name, values in fields.items()
        },
        "required": [*required],
    }
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}


def _query(name, values=()):
    schema = {"anyOf": [{"enum": [*values]}, _TEXT]} if values else _TEXT
    return {"name": name, "in": "query", "schema": schema}


def _link(name, **fields):
    return {"operationId": name, "requestBody": fields}


def oauth_paths(client_id, client_secret, redirect_uri):
    """Return the paths, which name this client more often than not."""
    client = {"client_id": [client_id], "client_secret": [client_secret]}
    issued = {"token": "$response.body#/access_token", "client_id": client_id}
    issued["client_secret"] = client_secret
    metadata = {
        "redirect_uris": {"type": "array", "items": {"anyOf": [{"enum": [redirect_uri]}, _TEXT]}},
        "client_name": _TEXT,
        "scope": {"anyOf": [{"enum": ["todos", "read write"]}, _TEXT]},
        "grant_types": {"type": "array", "items": {"enum": ["authorization_code", "password"]}},
        "token_endpoint_auth_method": {"enum": ["none", "client_secret_post", "other"]},
    }
    metadata = {"type": "object", "properties": metadata, "required": ["redirect_uris"]}
    grants = ["client_credentials", "authorization_code", "refresh_token", "password"]
    paths = {
        f"{METHODS}get_token/": {
            "post": {
                "operationId": "get_token",
                "requestBody": _form(
                    {"grant_type": grants, **client},
                    {"scope": ["todos", "read todos"], "code": [], "refresh_token": []},
                ),
                "responses": {
                    "200": {
                        **_answer("access_token", "token_type", "expires_in", "scope"),
                        "links": {
                            "introspect": _link("introspect_token", **issued),
                            "revoke": _link("revoke_token", **issued),
                        },
                    },
                    **_refusals(400, 401),
                },
            }
        },
        f"{METHODS}revoke_token/": {
            "post": {
                "operationId": "revoke_token",
                "requestBody": _form({"token": []}, client),
                "responses": {"200": _answer(), **_refusals(400, 401)},
            }
        },
        f"{METHODS}introspect_token/": {
            "post": {
                "operationId": "introspect_token",
                "requestBody": _form({"token": [], **client}, {}),
                "responses": {"200": _answer("active"), **_refusals(400, 401, 403)},
            }
        },
        f"{METHODS}register_client/": {
            "post": {
                "operationId": "register_client",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": metadata}},
                },
                "responses": {
                    "201": {
                        **_answer("client_id", "redirect_uris"),
                        "links": {
                            "authorize": {
                                "operationId": "authorize",
                                "parameters": {
                                    "query.client_id": "$response.body#/client_id",
                                    "query.redirect_uri": "$response.body#/redirect_uris/0",
                                },
                            },
                            "get_token": _link(
                                "get_token",
                                client_id="$response.body#/client_id",
                                client_secret="$response.body#/client_secret",
                            ),
                        },
                    },
                    **_refusals(400, 429),
                },
            }
        },
        f"{METHODS}authorize/": {
            "get": {
                "operationId": "authorize",
                "parameters": [
                    _query("client_id", [client_id]),
                    _query("redirect_uri", [redirect_uri]),
                    _query("response_type", ["code", "token"]),
                    _query("code_challenge", ["a" * 43]),
                    _query("code_challenge_method", ["S256", "plain"]),
                    _query("scope", ["todos"]),
                    _query("prompt", ["none", "login"]),
                ],
                "responses": {
                    # An error that must not be redirected is a page, and so is the one that asks.
                    **{status: {"description": "A page."} for status in ("200", "400", "403")},
                    "302": {"description": "To the login, or back."},
                },
            }
        },
        f"{METHODS}openid_profile/": {
            "get": {"responses": {"200": _answer("sub"), **_refusals(401, 403)}}
        },
    }
    for name in WELL_KNOWN:
        paths[f"/.well-known/{name}"] = {"get": {"responses": {"200": _answer()}}}
    return paths
