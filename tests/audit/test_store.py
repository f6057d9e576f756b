from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import guardrail.audit
from guardrail.audit import AuditLog, Reader
from guardrail.audit.database import parse, said
from guardrail.audit.tables import REVISION, VERSION_TABLE, metadata
from guardrail.errors import AuditError, ConfigError

from .support import KEY, entry, fill


def engine_of(url: str) -> sa.Engine:
    return sa.create_engine(parse(url))


def test_the_revision_that_the_code_expects_is_the_last_migration():
    config = Config()
    config.set_main_option("script_location", str(Path(guardrail.audit.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_the_migrations_make_the_tables_that_the_code_declares(url):
    AuditLog.open(url, KEY).close()
    engine = engine_of(url)
    with engine.connect() as conn:
        context = MigrationContext.configure(
            conn, opts={"version_table": VERSION_TABLE, "target_metadata": metadata, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_log_of_a_newer_version_is_left_alone(url):
    fill(url, 2)
    engine = engine_of(url)
    with engine.begin() as conn:
        conn.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ConfigError, match="written by a newer one"):
        AuditLog.open(url, KEY)
    with pytest.raises(AuditError, match="not of this version"):
        Reader.open(url)


def test_tables_of_ours_without_a_version_are_not_taken_over(url):
    """Whoever deletes the version to have a new chain begun must not get one around the old records."""
    fill(url, 2)
    engine = engine_of(url)
    with engine.begin() as conn:
        conn.execute(sa.text(f"DROP TABLE {VERSION_TABLE}"))
    engine.dispose()
    with pytest.raises(AuditError, match="already exists"):
        AuditLog.open(url, KEY)


def test_a_path_with_signs_that_urls_and_settings_use_is_a_path(tmp_path):
    url = f"sqlite:///{tmp_path}/a b/100%/ü.db"
    fill(url, 1)
    assert (tmp_path / "a b" / "100%" / "ü.db").is_file()


def test_opening_a_log_that_is_as_it_should_be_does_not_load_the_migrations(sqlite_url):
    fill(sqlite_url, 1)
    program = (
        "import sys; from guardrail.audit import AuditLog;"
        f"AuditLog.open({sqlite_url!r}, {KEY!r}).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.postgres
def test_the_short_names_of_postgresql_are_understood(postgres_url):
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        with AuditLog.open(postgres_url.replace("postgresql", scheme, 1), KEY) as log:
            log.append_wait(entry(scheme))


def test_a_disk_fault_says_what_to_look_at_and_others_are_left_as_they_are():
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR | 18 << 8
    assert said(fault) == "disk I/O error (is the disk full, or does it fail?)"
    assert said(sqlite3.OperationalError("database or disk is full")) == "database or disk is full"
