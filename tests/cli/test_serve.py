"""What `serve` makes of the settings: generators, mounts, and what it refuses to start with."""

from __future__ import annotations

import asyncio

import pytest

from guardrail.cli.serve import _upstreams, forgetful, server_settings, upstreams_of
from guardrail.config import load
from guardrail.errors import BadRequest, ConfigError
from guardrail.upstream.moderation import Moderation
from guardrail.upstream.openai import OpenAIImages


def made(tmp_path, text: str, **flags):
    return upstreams_of(load(None, {"home": str(tmp_path), "server.upstreams": text, **flags}, {}))


def test_one_generator_is_found_at_the_root_and_several_under_their_names(tmp_path):
    (one,) = made(tmp_path, "{openai: 'https://a/v1'}").values()
    assert (one.mount, one.name, one.base_url) == ("/", "openai", "https://a/v1")
    assert isinstance(one.dialect, OpenAIImages)
    several = made(tmp_path, "{openai: 'https://a', studio: {dialect: openai, url: 'https://b', mount: /s}}")
    assert {name: found.mount for name, found in several.items()} == {"openai": "/openai", "studio": "/s"}


def test_a_generator_has_settings_of_its_own(tmp_path):
    text = "{studio: {dialect: openai, url: 'https://b', timeout_s: 9, concurrency: 3, retries: 0, breaker_s: 4}}"
    (one,) = made(tmp_path, text).values()
    assert (one.timeout_s, one.concurrency, one.retries, one.breaker_s) == (9.0, 3, 0, 4.0)


def test_limits_of_the_operator_reach_the_dialect(tmp_path):
    (one,) = made(tmp_path, "{openai: 'https://a'}", **{"limits.images": 3}).values()
    assert isinstance(one.dialect, OpenAIImages)
    assert one.dialect.limits.images == 3


def test_webhooks_are_called_only_where_addresses_of_callers_are_fetched(tmp_path):
    (one,) = made(tmp_path, "{replicate: 'https://a'}").values()
    assert one.post == one.fetch.post
    (one,) = made(tmp_path, "{replicate: 'https://a'}", **{"fetch.enabled": False}).values()
    with pytest.raises(BadRequest, match="calls no addresses"):
        asyncio.run(one.post("https://client.example/hook", [], b"{}", param="webhook"))


def test_moderation_takes_no_address(tmp_path):
    (one,) = made(tmp_path, "{moderation: {options: {pictures: output}}}").values()
    assert one.base_url is None
    assert isinstance(one.dialect, Moderation)
    assert _upstreams(["moderation"]) == {"moderation": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{paint: 'https://a'}", "no dialect is called 'paint'; there are .*openai"),
        ("{openai: {mount: /x}}", "openai has no address"),
        ("{openai: {url: 'https://a', options: {colour: red}}}", "has no option 'colour'"),
        ("{openai: 'ftp://a'}", "base_url must be http"),
        ("{openai: {url: 'https://a', mount: nowhere}}", "mount must be a plain path"),
    ],
)
def test_what_cannot_work_stops_the_start(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        made(tmp_path, text)


def test_an_option_without_its_address_says_what_is_expected():
    with pytest.raises(ConfigError, match="name=address"):
        _upstreams(["openai="])


def test_several_workers_in_front_of_what_one_process_remembers_are_said_at_the_start(tmp_path):
    def said(text: str, workers: int) -> str:
        return forgetful(load(None, {"home": str(tmp_path), "server.upstreams": text, "server.workers": workers}, {}))

    assert "studio remembers jobs" in said("{studio: {dialect: fal, url: 'https://a'}}", 2)
    assert "replicate, openai-all remembers" in said(
        "{replicate: 'https://a', openai: 'https://b', openai-all: 'https://c'}", 4
    )
    assert said("{replicate: 'https://a'}", 1) == ""
    assert said("{openai: 'https://a', comfy: 'http://b'}", 4) == ""


HASH = "ab" * 32


@pytest.mark.parametrize(
    ("name", "flags", "reached"),
    [
        ("school", {}, False),
        ("school", {"server.tenant_header": "x-tenant"}, True),
        ("my school", {"server.tenant_header": "x-tenant"}, False),
        ("school", {"server.tenant_keys": {HASH: "school"}}, True),
        ("school", {"server.tenant_keys": {HASH: "schol"}}, False),
        ("my school", {"server.tenant_keys": {HASH: "my school"}}, True),
        ("default", {}, True),
    ],
)
def test_a_policy_of_a_tenant_whom_no_caller_can_be_stops_the_start(tmp_path, name, flags, reached):
    """A wall that looks like one: everybody would be judged by the default, and the stricter policy by nobody."""
    held = load(None, {"home": str(tmp_path), "policy.tenants": {name: "school.yaml"}, **flags}, {})
    if reached:
        assert server_settings(held).tenants == {name}
    else:
        with pytest.raises(ConfigError, match=f"no caller can be '{name}'"):
            server_settings(held)
