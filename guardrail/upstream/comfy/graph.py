"""Graphs: every string and picture of every node, alone and joined as links join them.

All nodes are judged, also those that reach no output: which do is decided by the server's custom nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from guardrail.errors import BadRequest
from guardrail.upstream.comfy.names import ONE_WAY, SAMPLERS, TWO_WAYS
from guardrail.upstream.spans import Json, Node

NODES = 2000
"""The most nodes of a graph that is read; the largest published workflows have a few hundred."""

_LONGEST_CLASS = 256  # bytes


@dataclass(frozen=True)
class Link:
    """An input that comes from another node's output."""

    source: str
    output: int


@dataclass
class Step:
    """One node of a graph: its class, what is written into it, and what comes from other nodes."""

    kind: str
    literals: dict[str, Node] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)


class Graph:
    """A graph that was read. Raises BadRequest for one that is none, too large or cyclic."""

    def __init__(self, root: Node, body: bytes) -> None:
        if root.kind is not Json.OBJECT or not root.members:
            raise _wrong("prompt must be an object of nodes")
        if len(root.members) > NODES:
            raise _wrong(f"prompt has more than {NODES} nodes")
        self.body = body
        self.steps = {name: self._step(name, node) for name, node in root.members.items()}
        self._users: dict[str, list[tuple[str, str, int]]] = {name: [] for name in self.steps}
        for name, step in self.steps.items():
            for used, link in step.links.items():
                if link.source not in self._users:
                    raise _wrong("a link of prompt leads to no node of it")
                self._users[link.source].append((name, used, link.output))
        self.order = self._order()

    def _step(self, name: str, node: Node) -> Step:
        kind, inputs = node.get("class_type"), node.get("inputs")
        if node.kind is not Json.OBJECT or kind is None or kind.kind is not Json.STRING:
            raise _wrong("every node of prompt needs a class_type")
        if kind.size > _LONGEST_CLASS:
            raise _wrong(f"a class_type is over {_LONGEST_CLASS} bytes")
        if inputs is not None and inputs.kind is not Json.OBJECT:
            raise _wrong("the inputs of a node must be an object")
        step = Step(kind.text(self.body))
        for key, value in (inputs.members if inputs is not None else {}).items():
            link = self._link(value)
            if link is not None:
                step.links[key] = link
            else:
                step.literals[key] = value
        return step

    def _link(self, value: Node) -> Link | None:
        if value.kind is not Json.ARRAY or len(value.items) != 2:
            return None
        source, output = value.items
        raw = self.body[output.start : output.end]
        if source.kind is not Json.STRING or output.kind is not Json.NUMBER or not raw.isdigit() or len(raw) > 4:
            return None
        return Link(source.text(self.body), int(raw))

    def _order(self) -> list[str]:
        """Sources before their users. Raises BadRequest for a graph that runs in a circle."""
        left = {name: len(step.links) for name, step in self.steps.items()}
        ready = [name for name, count in left.items() if not count]
        order: list[str] = []
        while ready:
            name = ready.pop()
            order.append(name)
            for user, _, _ in self._users[name]:
                left[user] -= 1
                if not left[user]:
                    ready.append(user)
        if len(order) < len(self.steps):
            raise _wrong("the links of prompt run in a circle")
        return order

    def left_out(self) -> frozenset[str]:
        """The nodes that say only what shall not be in the picture.

        Every way from them must end in the `negative` of a sampler that is known, whose `cfg` is written into it and at
        least 1: below that, a sampler draws what the negative prompt says. Where in doubt, a text is judged as a
        prompt.
        """
        negative: dict[tuple[str, int], bool] = {}
        for name in reversed(self.order):
            for output in {output for _, _, output in self._users[name]}:
                ways = [(user, used) for user, used, out in self._users[name] if out == output]
                negative[name, output] = all(self._ends_negative(user, used, negative) for user, used in ways)
        return frozenset(
            name
            for name in self.steps
            if self._users[name] and all(negative[name, output] for _, _, output in self._users[name])
        )

    def _ends_negative(self, user: str, used: str, negative: dict[tuple[str, int], bool]) -> bool:
        step = self.steps[user]
        if step.kind in SAMPLERS:
            return used == "negative" and self._guided(step)
        if step.kind in TWO_WAYS:
            return used == "negative" and negative.get((user, 1), False)
        return step.kind in ONE_WAY and negative.get((user, 0), False)

    def _guided(self, step: Step) -> bool:
        cfg = step.literals.get("cfg")
        return cfg is not None and cfg.kind is Json.NUMBER and float(self.body[cfg.start : cfg.end]) >= 1.0

    def before(self, name: str) -> Iterator[str]:
        """The nodes that this one is made of, itself last, each once, sources first."""
        found = {name}
        waiting = [name]
        while waiting:
            for link in self.steps[waiting.pop()].links.values():
                if link.source not in found:
                    found.add(link.source)
                    waiting.append(link.source)
        return (one for one in self.order if one in found)


def _wrong(text: str) -> BadRequest:
    return BadRequest(text, param="prompt", code="invalid_prompt")
