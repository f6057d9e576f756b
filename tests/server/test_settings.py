"""Upstream addresses: what is joined to what, and what is refused."""

from __future__ import annotations

import pytest

from guardrail.errors import ConfigError, Overloaded
from guardrail.server import Metrics, ServerSettings, Upstream, build_app
from guardrail.server.admission import Admission
from tests.server.stand_ins import PlainDialect, WordGuard


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://host", "/v1/images?a=1", "https://host/v1/images?a=1"),
        ("https://host/", "/v1/images", "https://host/v1/images"),
        ("https://host/v1", "/v1/images", "https://host/v1/images"),
        ("https://host/v1/", "/images", "https://host/v1/images"),
        ("https://host:8443/api/v1", "/v1/images", "https://host:8443/api/v1/images"),
        ("https://host/api/v1", "/api/v1/images", "https://host/api/v1/images"),
        ("https://host/v1", "/v1beta/images", "https://host/v1/v1beta/images"),
        ("https://host/v1", "/images/v1", "https://host/v1/images/v1"),
        ("http://[::1]:9/v1", "/v1/x%2Fy?q=%20", "http://[::1]:9/v1/x%2Fy?q=%20"),
    ],
)
def test_a_repeated_prefix_is_sent_once(base, path, url):
    assert Upstream(PlainDialect(), base).url(path) == url


@pytest.mark.parametrize(
    ("base", "mount"),
    [
        ("host/v1", "/"),
        ("ftp://host", "/"),
        ("https://", "/"),
        ("https://user:secret@host", "/"),
        ("https://host/?key=1", "/"),
        ("https://host", "openai"),
        ("https://host", "/open%61i"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_without_being_quoted(base, mount):
    with pytest.raises(ConfigError) as refused:
        Upstream(PlainDialect(), base, mount)
    assert "secret" not in str(refused.value)


def test_two_generators_do_not_share_a_mount():
    both = {"a": Upstream(PlainDialect(), "http://a", "/x"), "b": Upstream(PlainDialect(), "http://b", "/x/")}
    with pytest.raises(ConfigError, match="two upstreams are mounted at /x"):
        build_app(WordGuard(), both, ServerSettings(), Metrics())


def test_admission_gives_back_all_it_took():
    admission = Admission(1, 100, 1.0)
    ticket = admission.enter()
    with pytest.raises(Overloaded):
        admission.enter()
    ticket.hold(100)
    with pytest.raises(Overloaded):
        ticket.hold(1)
    ticket.close()
    assert (admission.requests, admission.bytes) == (0, 0)


def test_the_memory_set_aside_is_never_less_than_one_body_and_its_answer():
    assert ServerSettings(max_bytes_in_flight=1).room == ServerSettings().max_body_bytes + (256 << 20)
