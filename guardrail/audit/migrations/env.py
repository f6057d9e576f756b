"""Runs the migrations on the connection that the store hands over, inside its transaction.

Started by Alembic, never imported: the store holds the lock and commits, so a step is whole or was never there.
"""

from __future__ import annotations

from alembic import context

from guardrail.audit.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite can roll back a CREATE TABLE when, as here, its driver does not commit on its own.
    transactional_ddl=True,
)
context.run_migrations()
