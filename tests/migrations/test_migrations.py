"""Migrations equal the model, and go up and down on a filled database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, create_engine, inspect, text

from crossfade.server.migrate import downgrade, upgrade
from crossfade.server.store.schema import DAILY, metadata
from crossfade.server.usecases.apply import apply_declarations


@pytest.fixture
def migrated(empty_database_url: str) -> Iterator[Engine]:
    upgrade(empty_database_url)
    engine = create_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_the_migrations_make_the_schema_of_the_model(migrated: Engine) -> None:
    with migrated.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    # Partitions are tables of the database's own making, not of the model.
    assert [d for d in differences if not _is_partition(d)] == []


def test_the_migrations_make_every_check_constraint(migrated: Engine) -> None:
    inspector = inspect(migrated)
    for table in metadata.tables.values():
        wanted = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
        found = {c["name"] for c in inspector.get_check_constraints(table.name)}
        assert wanted <= found, table.name


def test_they_go_down_and_up_on_a_filled_database(migrated: Engine, empty_database_url: str) -> None:
    from datetime import UTC, datetime

    declared = {
        "models": [{"name": "old", "targets": [{"region": "us-east-1", "model_id": "vendor.old"}]}],
        "routes": [{"name": "chat", "blue": "old"}],
    }
    apply_declarations(migrated, declared, actor="ann", now=datetime.now(UTC))
    with migrated.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM routes")).scalar_one() == 1
    migrated.dispose()
    downgrade(empty_database_url, "base")
    assert set(inspect(migrated).get_table_names()) <= {"alembic_version"}
    upgrade(empty_database_url)
    upgrade(empty_database_url)  # a second time changes nothing
    assert set(metadata.tables) <= set(inspect(migrated).get_table_names())


OLD_ROW = """
    INSERT INTO observations (rollout_id, route_id, step, variant, bucket, received_at, model, region, calls, judged,
        errors, busy, raised, retries, failovers, tokens_in, tokens_out, cost_n, cost_sum, cost_sq, outcomes, attempts,
        latency, first_token)
    VALUES (0, 1, 0, 'blue', 86400, now(), '', '', 3, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{"ok": 2}', '{}', '{}', '{}')
"""


def test_a_controller_of_the_version_before_writes_on_while_the_schema_is_newer(empty_database_url: str) -> None:
    upgrade(empty_database_url, "0001")
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE observations_19700102 PARTITION OF observations DEFAULT"))
        connection.execute(text(OLD_ROW))
    upgrade(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text(OLD_ROW))
        found = connection.execute(text("SELECT calls, costs, stops, groups, keyed FROM observations")).all()
    assert found == [(3, {}, {}, {}, 0)] * 2
    engine.dispose()
    downgrade(empty_database_url, "0001")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT sum(calls) FROM observations")).scalar_one() == 6
    engine.dispose()


def test_evidence_is_partitioned_by_day_and_keyed_by_rollout_first(migrated: Engine) -> None:
    with migrated.connect() as connection:
        for table in DAILY:
            strategy = connection.execute(
                text("SELECT partstrat FROM pg_partitioned_table WHERE partrelid = to_regclass(:table)"),
                {"table": table},
            ).scalar_one()
            assert strategy == "r"
            indexes = inspect(migrated).get_indexes(table)
            key = inspect(migrated).get_pk_constraint(table)["constrained_columns"]
            first = [index["column_names"][0] for index in indexes if index["column_names"]] + key[:1]
            assert set(first) == {"rollout_id"}, table


def _is_partition(difference: object) -> bool:
    return isinstance(difference, tuple) and any(
        getattr(part, "name", "").startswith(tuple(f"{table}_2" for table in DAILY))
        for part in difference[1:]
        if hasattr(part, "name") and isinstance(part.name, str)
    )
