"""Who calls: Guardrail's own key, and the tenant."""

from __future__ import annotations

import hashlib

import pytest

from guardrail.server import ServerSettings
from tests.server.conftest import ROUTE

JSON = {"content-type": "application/json"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("given", [None, "", "wrong", "right "])
def test_a_caller_without_the_key_is_turned_away(start, upstream, given):
    running = start(ServerSettings(access_keys=frozenset({digest("right"), digest("other")})))
    got = running.ask(headers={} if given is None else {"x-guardrail-key": f"x{given}"})
    assert (got.status, got.json["error"]["code"]) == (401, "invalid_guardrail_key")
    assert upstream.calls == []


@pytest.mark.parametrize("given", ["right", "other"])
def test_the_key_opens_and_is_not_passed_on(start, upstream, given):
    running = start(ServerSettings(access_keys=frozenset({digest("right"), digest("other")})))
    assert running.ask(headers={"X-Guardrail-Key": given}).status == 200
    assert not [name for name in upstream.calls[0].headers if name.startswith("x-guardrail")]


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key", "x-goog-api-key"])
def test_a_callers_api_key_names_the_tenant(start, header):
    running = start(ServerSettings(tenant_keys={digest("sk-1"): "acme"}, tenant_header="x-team"))
    value = "Bearer sk-1" if header == "authorization" else "sk-1"
    running.ask(headers={header: value, "x-team": "other"})
    running.ask(headers={header: value + "2"})
    assert [record.tenant for record in running.guard.records] == ["acme", "default"]


@pytest.mark.parametrize(
    ("name", "status"), [("acme", 200), ("unknown", 400), ("a b", 400), ("x" * 65, 400), ("../x", 400)]
)
def test_a_trusted_header_names_a_known_tenant_only(start, name, status):
    running = start(ServerSettings(tenant_header="x-team", tenants=frozenset({"acme"})))
    assert running.ask(headers={"x-team": name}).status == status


def test_no_header_names_the_tenant_unless_the_operator_says_so(running):
    running.ask(headers={"x-guardrail-tenant": "acme", "x-team": "acme"})
    assert running.guard.records[0].tenant == "default"


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-team"])
def test_a_header_that_names_the_tenant_and_comes_twice_is_refused(start, upstream, header):
    # The generator may go by the second one, and the first one would choose a milder policy.
    running = start(ServerSettings(tenant_keys={digest("sk-1"): "acme"}, tenant_header="x-team"))
    connection = running.connect()
    connection.putrequest("POST", "/v1/images/generations")
    connection.putheader(header, "nobody")
    connection.putheader(header, "Bearer sk-1" if header == "authorization" else "sk-1")
    body = b'{"prompt": "a red bicycle"}'
    connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    assert connection.getresponse().status == 400
    connection.close()
    assert upstream.calls == []


@pytest.mark.parametrize(
    "value", ["Bearer\tsk-1", "Bearer   sk-1", "bearer sk-1", "BEARER sk-1", "sk-1", "Bearer sk-1 x", "sk-1 Bearer"]
)
def test_a_key_in_a_looser_spelling_is_still_the_tenants(start, value):
    running = start(ServerSettings(tenant_keys={digest("sk-1"): "acme"}))
    assert running.ask(headers={"authorization": value}).status == 200
    assert running.guard.records[0].tenant == "acme"


@pytest.mark.parametrize("query", ["key=sk-1", "a=b&key=sk-1", "a=b;key=sk-1", "%6bey=sk%2D1", "Key=sk-1"])
def test_a_key_in_the_query_names_the_tenant_too(start, query):
    # Google's APIs take it there; whoever moved it would else choose the default policy.
    running = start(ServerSettings(tenant_keys={digest("sk-1"): "acme"}))
    assert running.call("POST", f"{ROUTE}?{query}", b'{"prompt": "a red bicycle"}', JSON).status == 200
    assert running.guard.records[0].tenant == "acme"


def test_keys_of_two_tenants_in_one_call_are_refused(start, upstream):
    running = start(ServerSettings(tenant_keys={digest("sk-1"): "acme", digest("sk-2"): "mild"}))
    for more in ({"api-key": "sk-2"}, {"authorization": "Bearer sk-1 sk-2"}):
        assert running.ask(headers={"authorization": "Bearer sk-1", **more}).status == 400
    assert running.ask(headers={"authorization": "Bearer sk-1", "api-key": "sk-1"}).status == 200
    assert len(upstream.calls) == 1
