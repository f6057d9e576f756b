"""Records, the signed head, and the probe."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "guardrail_audit_records",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("prev", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
    op.create_index("guardrail_audit_records_id", "guardrail_audit_records", ["id"], unique=True)
    op.create_index("guardrail_audit_records_at", "guardrail_audit_records", ["at"])
    op.create_index("guardrail_audit_records_tenant", "guardrail_audit_records", ["tenant", "seq"])
    op.create_index("guardrail_audit_records_action", "guardrail_audit_records", ["action", "seq"])
    op.create_index(
        "guardrail_audit_records_rare",
        "guardrail_audit_records",
        ["kind", "seq"],
        sqlite_where=sa.text("kind <> 'decision'"),
        postgresql_where=sa.text("kind <> 'decision'"),
    )
    op.create_table(
        "guardrail_audit_head",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("log_id", sa.LargeBinary, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "guardrail_audit_probe",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ballast", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    # A log is never taken back: going down would delete every record.
    raise NotImplementedError("an audit log cannot be migrated back; restore a copy made before the upgrade")
