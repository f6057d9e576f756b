"""The policies in force: one default, one per tenant where it has its own, and candidates in shadow.

Reloading is all or nothing: the book is swapped in one assignment once every file is read and checked, and a file
that is broken leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from guardrail.errors import ConfigError
from guardrail.policy.load import SHIPPED, load
from guardrail.policy.model import Policy
from guardrail.policy.nodes import PolicyError, Problem

Source = str | Path


@dataclass(frozen=True)
class Pages:
    """What one reading of the files gave: read it once per request, so that a reload never splits a request."""

    default: Policy
    tenants: Mapping[str, Policy]
    shadow: tuple[Policy, ...]

    def policy_of(self, tenant: str) -> Policy:
        """The tenant's own policy under the floors of the default, or the default."""
        return self.tenants.get(tenant, self.default)

    def labels(self) -> list[str]:
        """The label, name@digest, of each policy."""
        return list(dict.fromkeys(self.digests().values()))

    def digests(self) -> dict[str, str]:
        """The whole SHA-256 of each policy, and its label. That holds eight digits, which somebody can make collide."""
        return {policy.digest: policy.label for policy in (self.default, *self.tenants.values(), *self.shadow)}


class PolicyBook:
    """Policies from files, safe to read from any thread while another reloads.

    `default`, the values of `tenants` and `shadow` are file names or names of shipped policies. Policies in `shadow`
    are candidates: whoever decides asks them too and records what they say; they are read as if they were in force.

    Raises ConfigError with everything that is wrong with any of the files.
    """

    def __init__(
        self,
        default: Source = "default",
        *,
        tenants: Mapping[str, Source] | None = None,
        shadow: Sequence[Source] = (),
    ) -> None:
        self._default = default
        self._tenants = dict(tenants or {})
        self._shadow = tuple(shadow)
        self._available: frozenset[str] | None = None
        # Looked at before the files are read: what is saved meanwhile reads as changed, once more than needed at worst.
        self._read_as = self._states()
        self._looked: list[tuple[int, int, int] | None] | None = None
        self._pages = self._read(None)

    def require(self, available: Collection[str]) -> None:
        """Raise PolicyError when a rule names a signal that is not in `available`; reloads ask the same from now on."""
        self._available = frozenset(available)
        problems: dict[Problem, None] = {}
        pages = self._pages
        for policy in (pages.default, *pages.tenants.values(), *pages.shadow):
            try:
                policy.require(self._available)
            except PolicyError as error:
                problems.update(dict.fromkeys(error.problems))
        if problems:
            raise PolicyError(list(problems))

    @property
    def pages(self) -> Pages:
        return self._pages

    @property
    def default(self) -> Policy:
        return self._pages.default

    @property
    def shadow(self) -> tuple[Policy, ...]:
        return self._pages.shadow

    def policy_of(self, tenant: str) -> Policy:
        """The policy that judges this tenant's requests; an unknown tenant gets the default."""
        return self._pages.policy_of(tenant)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that was read, to be watched; shipped policies are not among them."""
        sources = (self._default, *self._tenants.values(), *self._shadow)
        return tuple(dict.fromkeys(Path(source) for source in sources if source not in SHIPPED))

    def changed(self) -> bool:
        """Whether a file is not what it was when it was last read, whatever came of the reading.

        By what stands under its name, so that an editor's rename and a swapped mount are seen as well as a write.
        """
        return self._states() != self._read_as

    def saved(self) -> bool:
        """Whether a file has changed and is as it was at the look before: for who looks again and again.

        A save that takes its time is half a file for a while, and half a policy is often a policy too.
        The first look has none before it, and says what `changed` says.
        """
        before, self._looked = self._looked, self._states()
        return self._looked != self._read_as and before in (None, self._looked)

    def labels(self) -> list[str]:
        """The label, name@digest, of everything in force."""
        return self._pages.labels()

    def reload(self, available: Collection[str] | None = None) -> list[str]:
        """Read every file again. Returns what is wrong, in words; unless that is empty, nothing has changed.

        `available`: the signals that the loaded checks give; without it, those of the last `require`.
        """
        if available is not None:
            self._available = frozenset(available)
        self._read_as = self._states()
        try:
            pages = self._read(self._available)
        except ConfigError as error:
            return str(error).splitlines()
        now = zip(self.files, self._read_as, self._states(), strict=True)
        halves = [file for file, before, after in now if before != after]
        if halves:
            # Half a policy is often a policy too, with fewer rules. `changed` says that it must be read again.
            return [f"{file}: was saved while it was read; it is read again when it is whole" for file in halves]
        self._pages = pages
        return []

    def _states(self) -> list[tuple[int, int, int] | None]:
        return [_state(file) for file in self.files]

    def _read(self, available: frozenset[str] | None) -> Pages:
        problems: list[Problem] = []
        wrong: list[str] = []
        loaded: dict[Source, Policy] = {}
        for source in dict.fromkeys((self._default, *self._tenants.values(), *self._shadow)):
            try:
                policy = load(source)
                if available is not None:
                    policy.require(available)
                loaded[source] = policy
            except PolicyError as error:
                problems.extend(error.problems)
            except ConfigError as error:
                wrong.append(str(error))
        if wrong:
            raise ConfigError("\n".join([*wrong, *map(str, problems)]))
        if problems:
            raise PolicyError(problems)
        default = loaded[self._default]
        return Pages(
            default=default,
            tenants=MappingProxyType(
                {tenant: loaded[source].under(default) for tenant, source in self._tenants.items()}
            ),
            shadow=tuple(loaded[source].in_force() for source in self._shadow),
        )


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
