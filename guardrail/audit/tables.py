"""The tables of the log. Changing them takes a migration in `migrations/versions`, and REVISION with it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    column,
    inspect,
    select,
    table,
    text,
)

REVISION = "0002"
# What may be read without a migration: the same records, under other indexes.
READABLE = frozenset({"0001", REVISION})
VERSION_TABLE = "guardrail_audit_version"

metadata = MetaData()

# In SQLite only a column declared INTEGER is the row's own number; it holds 64 bits there.
_number = BigInteger().with_variant(Integer(), "sqlite")

records = Table(
    "guardrail_audit_records",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("guardrail_audit_records_id", "id", unique=True),
    Index("guardrail_audit_records_at", "at"),
)

# What most records have is in no index: it would be written for each of them, and leads to no few.
USUAL = {"kind": "decision", "tenant": "default", "action": "allow"}
for _column, _name in (("kind", "rare"), ("tenant", "tenant"), ("action", "action")):
    _few = text(f"{_column} <> '{USUAL[_column]}'")
    Index(
        f"guardrail_audit_records_{_name}",
        records.c[_column],
        records.c.seq,
        sqlite_where=_few,
        postgresql_where=_few,
    )

# One row: the signed end of the chain.
head = Table(
    "guardrail_audit_head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("log_id", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)

# One row: what the probe of writability writes. No part of the record.
probe = Table(
    "guardrail_audit_probe",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("ballast", LargeBinary, nullable=False),
)


def revision(conn: Connection) -> str | None:
    """The migration that the tables stand at; None when there are none yet."""
    if not inspect(conn).has_table(VERSION_TABLE):
        return None
    return str(conn.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar())
