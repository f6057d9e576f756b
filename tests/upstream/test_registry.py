"""Dialects are found by name, and each opens with nothing but what every one is given."""

import pytest

from guardrail.errors import BadRequest, ConfigError
from guardrail.upstream.dialect import Door, Foreseen, Setup
from guardrail.upstream.registry import BUILT_IN, installed, open_dialect


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_opens_under_its_name(name):
    dialect = open_dialect(name, Setup())
    assert dialect.name == name
    assert dialect.door("POST", "/no-such-route") is Door.CLOSED


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_says_what_becomes_of_its_calls(name):
    dialect = open_dialect(name, Setup())
    assert isinstance(dialect, Foreseen)
    assert dialect.foreseen
    assert all(100 <= status < 600 for ends in dialect.foreseen.values() for status in (ends.answered, *ends.refused))


def test_several_dialects_behind_one_address_foresee_what_each_does():
    parts = [open_dialect(name, Setup()).foreseen for name in ("openai", "chat", "responses")]
    assert open_dialect("openai-all", Setup()).foreseen == parts[0] | parts[1] | parts[2]


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(ConfigError, match=r"no dialect is called 'opena1'; there are .*openai"):
        open_dialect("opena1", Setup())
    assert set(BUILT_IN) <= set(installed())


def test_the_public_address_is_the_operators_word_or_the_host_header():
    assert Setup("/p", "https://guard.example/p").public([("host", "evil.example")]) == "https://guard.example/p"
    assert Setup("/p").public([("Host", "127.0.0.1:8080")]) == "http://127.0.0.1:8080/p"
    assert Setup().public([("host", "[::1]:8080")]) == "http://[::1]:8080"


@pytest.mark.parametrize("hosts", [[], ["a", "b"], ["a/b"], ["a b"], ["user@a"], ["a?x"], ["a\r\nb"]])
def test_a_host_header_that_is_none_names_no_address(hosts):
    with pytest.raises(BadRequest):
        Setup().public([("host", host) for host in hosts])
