from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from guardrail.audit.chain import KEY_BYTES, Head, check_key, genesis, keyed_digest, seal
from guardrail.audit.entry import Row
from guardrail.errors import AuditError, ConfigError

from .support import KEY, OTHER_KEY

ROW = Row("decision", "a", 1.5, "t", "allow", '{"x":1}')


def test_a_seal_is_what_the_reference_says_it_is():
    """Anybody with the key can check a record with a few lines of any language."""
    told = '{"v":1,"entry":' + json.dumps(["decision", "a", 1.5, "t", "allow"], separators=(",", ":"))
    signed = b"p" * 32 + (7).to_bytes(8, "big") + (told + ',"body":{"x":1}}').encode()
    assert seal(KEY, b"p" * 32, 7, ROW) == hmac.new(KEY, signed, hashlib.sha256).digest()


def test_a_seal_covers_key_place_and_every_field():
    seals = {seal(KEY, b"p" * 32, 7, ROW)}
    seals.add(seal(OTHER_KEY, b"p" * 32, 7, ROW))
    seals.add(seal(KEY, b"q" * 32, 7, ROW))
    seals.add(seal(KEY, b"p" * 32, 8, ROW))
    changed = {"kind": "event", "id": "b", "at": 1.25, "tenant": "u", "action": "block", "body": '{"x":2}'}
    for name, value in changed.items():
        seals.add(seal(KEY, b"p" * 32, 7, ROW._replace(**{name: value})))
    assert len(seals) == 4 + len(changed)


def test_a_field_cannot_pass_for_its_neighbour():
    one = ROW._replace(tenant='a","b', action="c")
    two = ROW._replace(tenant="a", action='b","c')
    assert seal(KEY, b"", 1, one) != seal(KEY, b"", 1, two)


def test_every_log_begins_with_a_digest_of_its_own():
    assert genesis(KEY, b"a" * 16) != genesis(KEY, b"b" * 16)


def test_a_keyed_digest_cannot_be_made_without_the_key():
    picture = hashlib.sha256(b"picture").digest()
    assert keyed_digest(KEY, picture) == hmac.new(KEY, picture, hashlib.sha256).hexdigest()
    assert keyed_digest(KEY, picture) != keyed_digest(OTHER_KEY, picture)


def test_a_short_key_is_refused():
    assert check_key(b"k" * KEY_BYTES)
    with pytest.raises(ConfigError, match="at least 32"):
        check_key(b"k" * (KEY_BYTES - 1))


def test_a_head_is_read_back_from_its_token():
    head = Head.signed(KEY, b"l" * 16, 12, b"d" * 32)
    assert Head.parse(head.token + "\n") == head
    assert head.holds(KEY)
    assert not head.holds(OTHER_KEY)


@pytest.mark.parametrize("part", ["log_id", "seq", "digest", "mac"])
def test_a_head_of_which_any_part_was_changed_does_not_hold(part):
    head = Head.signed(KEY, b"l" * 16, 12, b"d" * 32)
    changed = {"log_id": b"m" * 16, "seq": 11, "digest": b"e" * 32, "mac": b"f" * 32}
    parts = {name: getattr(head, name) for name in changed}
    assert not Head(**{**parts, part: changed[part]}).holds(KEY)
    assert not Head(**{**parts, part: "text"}).holds(KEY)


@pytest.mark.parametrize("token", ["", "x", "guardrail-head-1.aa.1.bb.cc", "guardrail-head-2.a.b.c.d", "a.b.c.d.e.f"])
def test_what_is_no_head_is_refused(token):
    with pytest.raises(AuditError, match="export --head"):
        Head.parse(token)
