"""Indexes of the tenant and the action only for those of few records: three pages less are written for each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column, usual in (("tenant", "default"), ("action", "allow")):
        name, few = f"guardrail_audit_records_{column}", sa.text(f"{column} <> '{usual}'")
        op.drop_index(name, "guardrail_audit_records")
        op.create_index(name, "guardrail_audit_records", [column, "seq"], sqlite_where=few, postgresql_where=few)


def downgrade() -> None:
    raise NotImplementedError("an audit log cannot be migrated back; restore a copy made before the upgrade")
