"""A generator tells of its jobs: what it tells is judged, and what may leave is handed on to the caller's webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from guardrail.errors import BadRequest
from guardrail.server import ServerSettings
from guardrail.upstream.dialect import Fetched, Setup
from guardrail.upstream.fal import Fal
from guardrail.upstream.fal import hooks as of_fal
from guardrail.upstream.replicate import Replicate
from tests.server import upstream as script
from tests.server.conftest import Got, Running, Start
from tests.server.upstream import Heard, Script

PUBLIC = "https://guard.test"
SECRET = "whsec_" + base64.b64encode(b"the account's own secret").decode()
CLIENT = "https://client.test/hook?x=1"
GOOD, BAD = b"\x89PNG\r\n\x1a\n good", b"\x89PNG\r\n\x1a\n BAD"
FILES = {"https://made.test/good.png": GOOD, "https://made.test/bad.png": BAD}
SIGNER = Ed25519PrivateKey.generate()
JOB = "8f5e2c1a-0b7d-4f0e-9a51-2f6f7c1d9e33"


class Web:
    """What is out there: pictures by address, the generator's keys, and the webhook of a client, which answers with
    `statuses` in turn."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.told: list[tuple[str, dict[str, str], bytes]] = []
        self.fetched: list[str] = []

    async def fetch(self, url: str, *, param: str) -> Fetched:
        self.fetched.append(url)
        if url.endswith("jwks.json"):
            x = base64.urlsafe_b64encode(SIGNER.public_key().public_bytes_raw()).decode().rstrip("=")
            return Fetched(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).encode(), "")
        if url not in FILES:
            raise BadRequest("gone", param=param, code="url_unreachable")
        return Fetched(FILES[url], "image/png")

    async def post(self, url: str, headers: Any, body: bytes, *, param: str) -> int:
        self.told.append((url, dict(headers), body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 0:
            raise BadRequest("nobody is there", param=param, code="url_unreachable")
        if status == 1:
            raise BadRequest("not a public address", param=param, code="url_not_allowed")
        return status


def setup(**more: Any) -> Setup:
    return Setup(public_url=PUBLIC, key=lambda purpose: hashlib.sha256(purpose.encode()).digest(), **more)


def prediction(output: Any = None, status: str = "succeeded", job_id: str = "p1") -> bytes:
    said = {"id": job_id, "model": "a/b", "version": "v", "status": status, "output": output, "input": {}, "logs": ""}
    return json.dumps(said).encode()


def replicate(heard: Heard) -> Script:
    if heard.target == "/v1/webhooks/default/secret":
        return script.whole(json.dumps({"key": SECRET}).encode())
    return script.whole(prediction(status="starting"), "201 Created")


def fal(heard: Heard) -> Script:
    at = f"https://queue.fal.run/fal-ai/flux/requests/{JOB}"
    said = {"request_id": JOB, "response_url": at, "status_url": f"{at}/status", "cancel_url": f"{at}/cancel"}
    return script.whole(json.dumps(said).encode())


class Hooked:
    """A guard before a generator of jobs, and one job that was begun with a webhook."""

    def __init__(self, start: Start, upstream: Any, web: Web, settings: ServerSettings | None = None) -> None:
        upstream.script = replicate
        self.upstream = upstream
        self.web = web
        self.running: Running = start(settings, dialect=Replicate.open(setup()), fetch=web.fetch, post=web.post)

    def begin(self, headers: dict[str, str] | None = None, webhook: str = CLIENT) -> Got:
        body = json.dumps({"version": "v", "input": {"prompt": "a red bicycle"}, "webhook": webhook}).encode()
        sent = {"content-type": "application/json", "authorization": "Bearer r8", **(headers or {})}
        return self.running.call("POST", "/v1/predictions", body, sent)

    @property
    def hook(self) -> str:
        """The path of the hook that the generator was given."""
        posted = [heard for heard in self.upstream.calls if heard.method == "POST"]
        address: str = json.loads(posted[-1].body)["webhook"]
        assert address.startswith(PUBLIC + "/guardrail/hooks/")
        return address.removeprefix(PUBLIC)

    def tell(self, body: bytes, *, secret: str = SECRET, age_s: int = 0, path: str | None = None) -> Got:
        """Call the hook as Replicate does."""
        return self.running.call("POST", path or self.hook, body, signed(secret, body, age_s))

    @property
    def secret(self) -> str:
        """The secret that the account reads at the guard."""
        answer = self.running.call("GET", "/v1/webhooks/default/secret", headers={"authorization": "Bearer r8"})
        return str(answer.json["key"])


def signed(secret: str, body: bytes, age_s: int = 0) -> dict[str, str]:
    at = str(int(time.time()) - age_s)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + body, "sha256")).decode()
    return {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{signature} v1,b3RoZXI=",
    }


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def hooked(start, upstream, web) -> Hooked:
    return Hooked(start, upstream, web)


def test_the_generator_is_given_the_guards_address_and_never_the_callers(hooked):
    assert hooked.begin().status == 201
    assert CLIENT.encode() not in b"".join(heard.body for heard in hooked.upstream.calls)
    assert "client.test" not in hooked.hook


def test_what_may_leave_is_handed_on_signed_anew(hooked, web):
    hooked.begin()
    assert hooked.tell(prediction(["https://made.test/good.png"])).status == 200
    ((url, headers, body),) = web.told
    assert url == CLIENT
    said = json.loads(body)
    assert said["id"] == "p1"
    assert said["output"][0].startswith(PUBLIC + "/guardrail/files/")
    assert headers["x-guardrail-decision"] == "allow"
    assert hooked.secret != SECRET
    at = headers["webhook-timestamp"]
    key = base64.b64decode(hooked.secret.removeprefix("whsec_"))
    expected = hmac.digest(key, f"msg_1.{at}.".encode() + body, "sha256")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_a_bad_picture_is_told_of_as_a_prediction_that_failed(hooked, web):
    hooked.begin()
    assert hooked.tell(prediction(["https://made.test/bad.png"])).status == 200
    ((_, _, body),) = web.told
    said = json.loads(body)
    assert (said["status"], said["output"]) == ("failed", None)
    assert b"bad.png" not in body
    assert hooked.running.guard.statuses[-1] == "refused"


def test_news_without_pictures_goes_on_and_needs_no_record(hooked, web):
    hooked.begin()
    before = len(hooked.running.guard.records)
    assert hooked.tell(prediction(status="processing")).status == 200
    assert json.loads(web.told[0][2])["status"] == "processing"
    assert len(hooked.running.guard.records) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "whsec_" + base64.b64encode(b"somebody else's secret").decode()},
        {"age_s": 301},
        {"age_s": -310},
    ],
)
def test_news_that_the_generator_has_not_signed_is_refused(hooked, web, wrong):
    hooked.begin()
    assert hooked.tell(prediction(["https://made.test/good.png"]), **wrong).status == 401
    assert web.told == []


def test_news_of_a_little_while_ago_is_taken(hooked, web):
    hooked.begin()
    assert hooked.tell(prediction(status="processing"), age_s=290).status == 200


def test_news_that_is_told_twice_is_judged_and_handed_on_once(hooked, web):
    hooked.begin()
    news = prediction(["https://made.test/good.png"])
    first = hooked.tell(news)
    records = len(hooked.running.guard.statuses)
    again = hooked.tell(news, age_s=20)  # as the generator calls again, and as somebody replays it
    assert (first.status, again.status) == (200, 200)
    assert len(web.told) == 1
    assert len(hooked.running.guard.statuses) == records
    hooked.tell(prediction(["https://made.test/good.png"], status="canceled"))
    assert len(web.told) == 2


@pytest.mark.parametrize("spell", ["{}~~~~", "~~~~{}", "{}=", "{}...."])
def test_news_is_not_told_again_under_another_spelling_of_the_address(hooked, web, spell):
    hooked.begin()
    news = prediction(["https://made.test/good.png"])
    assert hooked.tell(news).status == 200
    before, _, word = hooked.hook.rpartition("/")
    assert hooked.tell(news, path=f"{before}/{spell.format(word)}").status == 404
    assert len(web.told) == 1


def test_news_that_was_not_taken_can_be_told_again(hooked, web):
    web.statuses = [410, 200]
    hooked.begin()
    assert hooked.tell(prediction(["https://made.test/good.png"])).status == 502
    assert hooked.tell(prediction(["https://made.test/good.png"])).status == 200
    assert len(web.told) == 2


def test_an_account_cannot_have_news_of_its_own_judged_as_anothers_job(hooked, web, upstream):
    """Whoever owns an account can sign with its secret, whatever the news says."""
    hooked.begin()
    own = hooked.hook
    upstream.script = lambda heard: (
        replicate(heard) if "secret" in heard.target else script.whole(prediction(status="starting", job_id="p2"))
    )
    hooked.begin({"authorization": "Bearer other"})
    records = len(hooked.running.guard.statuses)
    forged = hooked.tell(prediction(["https://made.test/good.png"], job_id="p2"), path=own)
    assert forged.status == 401
    assert "without this address" in forged.body.decode()
    assert web.told == []
    assert len(hooked.running.guard.statuses) == records
    assert hooked.tell(prediction(["https://made.test/good.png"], job_id="p2")).status == 200


def test_a_hook_that_the_guard_has_not_given_is_closed(hooked, web):
    hooked.begin()
    changed = hooked.hook[:-4] + ("AAAA" if not hooked.hook.endswith("AAAA") else "BBBB")
    for path in ("/guardrail/hooks/", "/guardrail/hooks/abc", changed):
        assert hooked.tell(prediction(), path=path).status == 404
    assert web.told == []


def test_a_hook_asks_for_no_key_of_the_guard_and_every_other_route_does(start, upstream, web):
    key = hashlib.sha256(b"ours").hexdigest()
    hooked = Hooked(start, upstream, web, ServerSettings(access_keys=frozenset({key})))
    assert hooked.begin().status == 401
    hooked.begin({"x-guardrail-key": "ours"})
    assert hooked.tell(prediction(["https://made.test/good.png"])).status == 200
    link = json.loads(web.told[0][2])["output"][0].removeprefix(PUBLIC)
    got = hooked.running.call("GET", link)
    assert (got.status, got.body, got.headers["content-type"]) == (200, GOOD, "image/png")
    assert hooked.running.call("GET", link[:-3] + "AAA").status == 401


def test_news_is_judged_as_the_tenants_whose_job_it_is(start, upstream, web):
    hooked = Hooked(start, upstream, web, ServerSettings(tenant_header="x-tenant"))
    hooked.begin({"x-tenant": "acme"})
    hooked.tell(prediction(["https://made.test/good.png"]))
    assert hooked.running.guard.records[-1].tenant == "acme"


def test_a_webhook_that_is_busy_is_told_again(hooked, web):
    web.statuses = [503, 204]
    hooked.begin()
    assert hooked.tell(prediction(status="processing")).status == 200
    assert len(web.told) == 2


@pytest.mark.parametrize("status", [404, 301, 1])
def test_a_webhook_that_does_not_take_it_is_told_once_and_the_generator_hears_of_it(hooked, web, status):
    web.statuses = [status]
    hooked.begin()
    assert hooked.tell(prediction(status="processing")).status == 502
    assert len(web.told) == 1
    assert hooked.running.logged(outcome="polled_not_taken", route="webhook")


def test_nobody_is_told_where_there_is_no_record(hooked, web):
    hooked.begin()
    hooked.running.guard.fail_records.add("*")
    assert hooked.tell(prediction(["https://made.test/good.png"])).status == 503
    assert web.told == []


@pytest.mark.parametrize("address", ["http://client.test/hook", "ftp://client.test", "client.test", 7, {"a": "b"}])
def test_a_webhook_must_be_an_https_address(hooked, address):
    assert hooked.begin(webhook=address).status == 422
    assert [heard for heard in hooked.upstream.calls if heard.method == "POST"] == []


def test_without_an_address_of_its_own_the_guard_offers_no_webhooks(start, upstream, web):
    upstream.script = replicate
    running = start(dialect=Replicate.open(Setup()), fetch=web.fetch, post=web.post)
    body = json.dumps({"version": "v", "input": {"prompt": "x"}, "webhook": CLIENT}).encode()
    got = running.call("POST", "/v1/predictions", body, {"content-type": "application/json"})
    assert got.status == 422
    assert "public_url" in got.json["detail"]
    assert upstream.calls == []


def test_an_account_whose_secret_cannot_be_read_gets_no_webhook(hooked):
    hooked.upstream.script = lambda heard: script.whole(b'{"detail":"no"}', "401 Unauthorized")
    assert hooked.begin().status == 400
    assert [heard.target for heard in hooked.upstream.calls] == ["/v1/webhooks/default/secret"]


def test_no_log_line_has_an_address_or_a_secret(hooked):
    hooked.begin()
    hooked.tell(prediction(["https://made.test/good.png"]))
    assert hooked.running.logged(route="webhook")
    said = hooked.running.log.getvalue()
    assert not any(word in said for word in ("client.test", "made.test", "whsec_", hooked.hook, "r8", "bicycle"))


# ------------------------------------------------------------------------------------------------------------- fal


class Queued:
    """A guard before fal's queue, and one request that was submitted with a webhook."""

    def __init__(self, start: Start, upstream: Any, web: Web) -> None:
        upstream.script = fal
        self.upstream = upstream
        dialect = Fal.open(setup(options={"queue_url": upstream.url}))
        self.running: Running = start(dialect=dialect, fetch=web.fetch, post=web.post)
        sent = {"content-type": "application/json"}
        query = "fal_webhook=https%3A%2F%2Fclient.test%2Fhook%3Fx%3D1&a=b"
        path = f"/queue/fal-ai/flux/dev?{query}"
        assert self.running.call("POST", path, b'{"prompt":"a red bicycle"}', sent).status == 200

    @property
    def hook(self) -> str:
        target = self.upstream.calls[-1].target
        assert target.startswith("/fal-ai/flux/dev?a=b&fal_webhook=")
        assert "client.test" not in target
        from urllib.parse import unquote

        return unquote(target.partition("fal_webhook=")[2]).removeprefix(PUBLIC)

    def tell(self, said: dict[str, Any], signer: Ed25519PrivateKey = SIGNER, age_s: int = 0) -> Got:
        body = json.dumps({"request_id": JOB, "gateway_request_id": JOB, **said}).encode()
        at = str(int(time.time()) - age_s)
        signature = signer.sign(of_fal.signed(JOB, "user", at, body)).hex()
        headers = {"request-id": JOB, "user-id": "user", "timestamp": at, "signature": signature}
        named = {f"x-fal-webhook-{name}": value for name, value in headers.items()}
        return self.running.call("POST", self.hook, body, named)


@pytest.fixture
def queued(start, upstream, web) -> Queued:
    return Queued(start, upstream, web)


def image(name: str) -> dict[str, Any]:
    return {"status": "OK", "payload": {"images": [{"url": f"https://made.test/{name}.png"}]}}


def test_a_result_of_fal_is_handed_on_signed_with_a_key_that_the_guard_publishes(queued, web):
    assert queued.tell(image("good")).status == 200
    ((url, headers, body),) = web.told
    assert url == CLIENT
    said = json.loads(body)
    assert said["payload"]["images"][0]["url"].startswith(PUBLIC + "/guardrail/files/")
    (key,) = queued.running.call("GET", "/.well-known/jwks.json").json["keys"]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
    message = of_fal.signed(JOB, "user", headers["x-fal-webhook-timestamp"], body)
    public.verify(bytes.fromhex(headers["x-fal-webhook-signature"]), message)


def test_a_bad_result_of_fal_is_told_of_as_an_error(queued, web):
    assert queued.tell(image("bad")).status == 200
    ((_, _, body),) = web.told
    said = json.loads(body)
    assert (said["request_id"], said["status"], said["error"]) == (JOB, "ERROR", "Invalid status code: 422")
    assert said["payload"]["detail"][0]["type"] == "content_policy_violation"
    assert b"bad.png" not in body


def test_an_error_of_fal_is_handed_on(queued, web):
    error = {"status": "ERROR", "error": "Invalid status code: 422", "payload": {"detail": [{"msg": "x"}]}}
    assert queued.tell(error).status == 200
    assert json.loads(web.told[0][2])["payload"] == error["payload"]


def test_what_fal_has_not_signed_is_refused(queued, web):
    assert queued.tell(image("good"), Ed25519PrivateKey.generate()).status == 401
    assert queued.tell(image("good"), age_s=301).status == 401
    assert web.told == []
