"""Settings and the database's address: one line that says what, where and what to do; no secret in print."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from crossfade.core.variables import KNOWN
from crossfade.errors import Conflict, Invalid, SetupError, Unavailable
from crossfade.server import database, migrate
from crossfade.server.settings import VARIABLES, load, secret_of


def test_settings_come_from_the_environment_and_what_is_given_wins() -> None:
    settings = load({"DATABASE_URL": "postgresql://a:pw@h/d", "CROSSFADE_PORT": "99"}, host="::1")
    assert (settings.host, settings.port) == ("::1", 99)
    assert settings.database_url.get_secret_value() == "postgresql://a:pw@h/d"


def test_every_setting_is_known_to_every_process() -> None:
    assert set(VARIABLES.values()) - {"DATABASE_URL"} <= KNOWN


def test_what_kubernetes_sets_for_a_service_called_crossfade_is_no_misspelt_setting() -> None:
    port = "CROSSFADE_SIDECAR_PORT_8322_TCP"
    load(dict.fromkeys(("CROSSFADE_SERVICE_HOST", "CROSSFADE_SERVICE_PORT_HTTP", port, f"{port}_ADDR"), "10.0.0.1"))


def test_no_secret_shows_in_print() -> None:
    settings = load({"DATABASE_URL": "postgresql://a:hidden@h/d", "CROSSFADE_SECRET": "hidden" * 8})
    assert "hidden" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CROSSFADE_PORTS": "1"}, ["CROSSFADE_PORTS", "did you mean CROSSFADE_PORT?"]),
        ({"CROSSFADE_PORT": "http"}, ["CROSSFADE_PORT", "integer"]),
        ({"CROSSFADE_PORT": "99999"}, ["CROSSFADE_PORT", "65535"]),
        ({"CROSSFADE_SECRET_FILE": "/nowhere"}, ["CROSSFADE_SECRET_FILE", "/nowhere"]),
    ],
)
def test_a_bad_setting_is_one_line(environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SetupError) as error:
        load(environ)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_the_secret_may_lie_in_a_file_and_must_be_long(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s" * 40 + "\n")
    assert secret_of(load({"CROSSFADE_SECRET_FILE": str(file)})) == "s" * 40
    for environ in ({}, {"CROSSFADE_SECRET": "short"}):
        with pytest.raises(SetupError, match="CROSSFADE_SECRET"):
            secret_of(load(environ))


@pytest.mark.parametrize("url", ["", "mysql://h/d", "postgresql://h:port/d", "postgres"])
def test_what_is_no_address_of_a_postgres_is_said(url: str) -> None:
    with pytest.raises(SetupError, match="DATABASE_URL"):
        database.connect(url)


def test_nobody_at_the_address_is_a_setup_error_at_the_start_and_unavailable_later() -> None:
    engine = database.connect("postgresql://ann:hidden@127.0.0.1:1/d")
    with pytest.raises(SetupError) as error:
        database.probe(engine)
    assert "hidden" not in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(Unavailable, match="does not answer"), database.begin(engine):
        pass
    with pytest.raises(SetupError, match="cannot migrate"):
        migrate.upgrade("postgresql://ann:hidden@127.0.0.1:1/d")
    engine.dispose()


def test_a_database_without_our_tables_says_to_migrate(empty_database_url: str) -> None:
    engine = database.connect(empty_database_url)
    with pytest.raises(SetupError, match="migrate"):
        database.probe(engine)
    with pytest.raises(Unavailable, match="migrate"), database.begin(engine) as connection:
        connection.execute(text("SELECT * FROM routes"))
    engine.dispose()


def test_a_connection_cut_in_a_transaction_is_unavailable_and_the_next_one_works(database_url: str) -> None:
    engine = database.connect(database_url)
    with pytest.raises(Unavailable), database.begin(engine) as connection:  # noqa: PT012
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with database.begin(engine) as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
        connection.execute(text("SELECT 1"))
    with database.begin(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_what_collides_or_cannot_be_stored_is_the_callers_not_ours(database_url: str) -> None:
    engine = database.connect(database_url)
    insert = text("INSERT INTO heartbeats VALUES (:name, now())")
    with pytest.raises(Conflict), database.begin(engine) as connection:
        connection.execute(insert, [{"name": "a"}, {"name": "a"}])
    for name in ("a\x00", "\ud800"):
        with pytest.raises(Invalid), database.begin(engine) as connection:
            connection.execute(insert, {"name": name})
    engine.dispose()


def test_many_that_migrate_at_once_migrate_once(empty_database_url: str) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            migrate.upgrade(empty_database_url)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    engine = database.connect(empty_database_url)
    database.probe(engine)
    engine.dispose()
