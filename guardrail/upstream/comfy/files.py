"""Files of a ComfyUI server by name: how they are written, and what is known of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.memory import Memory, afresh

FOLDERS = frozenset({"input", "output", "temp"})
_NOTED = re.compile(r"(.{1,1000}?)(?: ?\[(input|output|temp)\])?", re.DOTALL)
_STEP = re.compile(r"(?!\.{1,2}\Z)[^/\\\x00-\x1f:*?\"<>|]{1,255}")
_MOST_QUERY = 2048  # characters
_FEW = 2  # tenants that must be told apart to know that there are several
_PREVIEW = re.compile(r"preview=(?:webp|jpeg|png);[0-9]{1,3}")
VIEW = frozenset({"filename", "subfolder", "type", "preview", "channel", "rand"})


@dataclass(frozen=True)
class Name:
    """A file of the server: in which of its folders, where in there, and what it is called."""

    folder: str
    subfolder: str
    name: str

    @property
    def query(self) -> str:
        """As `/view` asks for it."""
        return urlencode({"filename": self.name, "subfolder": self.subfolder, "type": self.folder})


@dataclass(frozen=True)
class Job:
    """What is remembered of one prompt: what was asked, by which client, and the class of each node. `tenant` is whose
    it is, None where that was forgotten."""

    request: Request
    client: str
    classes: dict[str, str]
    tenant: str | None = None

    @property
    def size(self) -> int:
        return 1000 + sum(len(one.content) for one in self.request.artifacts) + 100 * len(self.classes)


class Known:
    """What one guard knows of its ComfyUI: jobs, files and their jobs, and jobs that were refused."""

    def __init__(self) -> None:
        self.jobs: Memory[Job] = Memory()
        self.made: Memory[str] = Memory(entries=16_384)
        self.refused: Memory[str] = Memory()
        self.clients: Memory[str] = Memory(age_s=86_400.0)
        self._tenants: set[str] = set()

    def seen(self, tenant: str) -> None:
        """Somebody of this tenant calls."""
        if len(self._tenants) < _FEW:
            self._tenants.add(tenant)

    @property
    def several(self) -> bool:
        """True once callers of more than one tenant were seen."""
        return len(self._tenants) > 1

    def claim(self, client: str, tenant: str) -> None:
        """A client's id belongs to the tenant that used it first. Raises BadRequest for any other: messages of a socket
        go to whoever names the id last."""
        self.seen(tenant)
        if not client:
            return
        if (self.clients.get(client) or tenant) != tenant:
            raise BadRequest(
                "this client id is somebody else's; choose another", param="client_id", code="invalid_value"
            )
        self.clients.put(client, tenant, len(client))

    def hidden(self, job_id: str | None, tenant: str) -> bool:
        """True for a job that is another tenant's. One of which nothing is known is nobody's."""
        job = self.jobs.get(job_id) if job_id is not None else None
        return job is not None and job.tenant is not None and job.tenant != tenant

    def request_of(self, job_id: str | None) -> Request:
        """What was asked for in that job; nothing where it is not known."""
        job = self.jobs.get(job_id) if job_id is not None else None
        return afresh(job.request) if job is not None else Request((), ())


def of_parts(name: str, subfolder: str, folder: str, param: str) -> Name:
    """Raises BadRequest for a name that leaves its folder, or that two systems could read differently."""
    steps = subfolder.split("/") if subfolder else []
    if folder not in FOLDERS or not all(_STEP.fullmatch(step) for step in (*steps, name)):
        raise BadRequest(
            f"{param} is no plain name of a picture of the server; upload the picture and use the name of the answer",
            param=param,
            code="unjudged_reference",
        )
    return Name(folder, subfolder, name)


def of_value(value: str, param: str) -> Name:
    """A name as nodes have it: "sub/name.png [input]". Raises BadRequest as `of_parts` does."""
    found = _NOTED.fullmatch(value)
    subfolder, _, name = (found.group(1) if found else value).rpartition("/")
    return of_parts(name, subfolder, (found.group(2) if found else None) or "input", param)


def of_query(query: str) -> Name:
    """What `/view` is asked for. Raises BadRequest for a query that is not this route's."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=8, errors="strict")
    except ValueError:
        pairs = []
    named = dict(pairs)
    # Some servers part fields at ";" too; the web interface writes "preview=webp;90".
    parted = any(";" in part and not _PREVIEW.fullmatch(part) for part in query.split("&"))
    if len(query) > _MOST_QUERY or len(named) != len(pairs) or not pairs or parted or named.keys() - VIEW:
        raise BadRequest("the query cannot be read", param="filename", code="invalid_query")
    name, subfolder = named.get("filename", ""), named.get("subfolder", "")
    # Some clients write the folder into the name as well.
    inside, _, last = name.rpartition("/")
    if inside and subfolder:
        raise BadRequest("the folder is given twice", param="filename", code="invalid_query")
    return of_parts(last, subfolder or inside, named.get("type", "output"), "filename")
