"""Errors: each class says who must act, each message what, where, what was expected, what to do."""


def extra(name: str) -> str:
    """How to install an optional part, for messages. By path: whoever took the distribution's name on the public index,
    where nobody holds it, would be installed instead."""
    return f"in a clone of Guardrail, pip install -c constraints.txt '.[{name}]'"


class GuardrailError(Exception):
    """Root of every error that Guardrail raises on purpose."""


class ConfigError(GuardrailError):
    """The operator must act: a setting, a policy, a weight file or a key is wrong or missing."""


class BadRequest(GuardrailError):
    """The caller must act: the request cannot be read, or is over a limit.

    `status` is the HTTP status that a server should answer with, `param` the request field at fault,
    `code` a short machine-readable word such as "image_too_large". The message never quotes the
    prompt, a picture or a key.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str = "invalid_request"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


class UpstreamError(GuardrailError):
    """The generator's owner must act: it is down, slow, cut its answer short or sent what is no answer.

    `status` is what a server should answer with: 502 for a broken answer, 504 for none in time.
    """

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class CheckError(GuardrailError):
    """A check could not look. Only the pipeline catches this, and makes a signal with `error` of it."""


class Overloaded(GuardrailError):
    """The queue is full: the caller should come back in `retry_after_s` seconds. Never a pass."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AuditError(GuardrailError):
    """A record could not be written, or a stored one is not what was written."""
