from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from .support import Server, programs

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server | str]:
    """A server to make databases in: the one that GUARDRAIL_TEST_POSTGRES names, or one of our own."""
    named = os.environ.get("GUARDRAIL_TEST_POSTGRES")
    if named:
        yield named
        return
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL: install it (apt-get install postgresql), or set GUARDRAIL_TEST_POSTGRES=URL")
    server = Server(folder)
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: Server | str) -> Iterator[str]:
    """An empty database."""
    home = sa.make_url(postgres if isinstance(postgres, str) else postgres.url()).set(drivername="postgresql+psycopg")
    name = f"guardrail_test_{os.getpid()}_{next(_numbers)}"
    engine = sa.create_engine(home, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(sa.text(f"CREATE DATABASE {name}"))
    yield home.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    engine.dispose()
    with engine.connect() as conn:
        conn.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log/audit.db"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """An empty log, in SQLite and in PostgreSQL."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found
