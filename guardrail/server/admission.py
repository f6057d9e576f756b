"""Admission: how many requests, and how many bytes of their bodies, are held at one moment.

Whatever does not fit is turned away with Overloaded, which is never a pass.
"""

from __future__ import annotations

from guardrail.errors import Overloaded


class Admission:
    """Counts what is in flight on one event loop. Not for use from several threads."""

    def __init__(self, max_requests: int, max_bytes: int, retry_after_s: float) -> None:
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self.retry_after_s = retry_after_s
        self.requests = 0
        self.bytes = 0

    def enter(self) -> Ticket:
        """Admit one request. Raises Overloaded when as many as may be are in flight."""
        if self.requests >= self.max_requests:
            raise Overloaded(
                f"{self.max_requests} requests are in flight, which is the limit; try again later",
                retry_after_s=self.retry_after_s,
            )
        self.requests += 1
        return Ticket(self)


class Ticket:
    """One admitted request, and the bytes that are held for it."""

    __slots__ = ("_admission", "closed", "held")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.held = 0
        self.closed = False

    def hold(self, size: int) -> None:
        """Make room for `size` more bytes. Raises Overloaded when they do not fit; nothing is taken then."""
        self.fits(size)
        self._admission.bytes += size
        self.held += size

    def fits(self, size: int) -> None:
        """Raises Overloaded when `size` more bytes would not fit now."""
        admission = self._admission
        if admission.bytes + size > admission.max_bytes:
            raise Overloaded(
                "the bodies in flight fill the memory that is set aside for them; try again later",
                retry_after_s=admission.retry_after_s,
            )

    def close(self) -> None:
        """The request is over: give back its place and its bytes."""
        self.closed = True
        self._admission.bytes -= self.held
        self.held = 0
        self._admission.requests -= 1
