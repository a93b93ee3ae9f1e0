"""`crossfade up`: everything on one machine, for real use."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from crossfade.cli.client import Client
from crossfade.errors import SetupError
from crossfade.server.bring_up import address_of, start_controller, start_scheduler
from crossfade.server.processes import Processes, end_on_signals

LOOK_SECONDS = 0.5
MOST_LOG_BYTES = 10_000_000


def run_up(host: str | None, port: int | None, data: str) -> None:
    """Runs until Ctrl-C or SIGTERM; raises when a part ends by itself."""
    from crossfade.server import settings as reading
    from crossfade.server.migrate import upgrade

    folder = Path(data).absolute()
    environment = dict(os.environ)
    end_on_signals()
    try:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)  # the account Postgres runs under passes through
    except OSError as error:
        raise SetupError(f"{folder}: {error.strerror}; choose another folder by --data or CROSSFADE_DATA") from None
    with ExitStack() as stack:
        stack.enter_context(_alone_in(folder))  # before anything of a running one is touched, its logs above all
        processes = stack.enter_context(Processes(folder / "logs"))
        url = environment.get("DATABASE_URL") or _embedded(folder, stack, processes)
        if not environment.get("CROSSFADE_SECRET") and not environment.get("CROSSFADE_SECRET_FILE"):
            environment["CROSSFADE_SECRET"] = _kept(folder / "secret", lambda: secrets.token_hex(32))
        environment["DATABASE_URL"] = url
        if host is not None:
            environment["CROSSFADE_HOST"] = host
        if port is not None:
            environment["CROSSFADE_PORT"] = str(port)
        settings = reading.load(environment)
        upgrade(url)
        token = _first_admin(folder, url, reading.secret_of(settings))
        parts = [start_controller(processes, environment), start_scheduler(processes, environment)]
        try:
            address = address_of(processes, parts[0])
            with closing(Client(address, token)) as client:
                link = client.login_link()["url"]
            click.echo(f"Crossfade {address}\nLogin     {link}\nToken     {folder / 'admin-token'}\nStop it by Ctrl-C.")
            relay = [(part, part.log.stat().st_size) for part in parts]
            while True:
                processes.check()
                relay = [(part, _relay(part.name, part.log, seen)) for part, seen in relay]
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            click.echo("Stopping.", err=True)
            raise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Holds the data folder, for as long as the block runs or this process lives; refuses one that is held."""
    path = folder / "pid"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; choose another folder by --data or CROSSFADE_DATA") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise SetupError(
                f"{folder}: this data folder is in use by {f'pid {pid}' if pid else 'another `crossfade up`'}: "
                "stop that one, or choose another folder by --data or CROSSFADE_DATA"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _embedded(folder: Path, stack: ExitStack, processes: Processes) -> str:
    from crossfade.server.postgres import start

    server = stack.enter_context(start(folder / "postgres"))
    if server.process is not None:
        processes.adopt("postgres", server.process, folder / "postgres" / "postgres.log")
        stack.callback(processes.end_all)  # before Postgres, which they need to the last
    return server.url


def _kept(path: Path, make: Callable[[], str]) -> str:
    """The text kept in a file that only we may read; made when it is not there."""
    try:
        if path.exists():
            return path.read_text().strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            text = make()
            file.write(text + "\n")
        return text
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; choose another folder by --data or CROSSFADE_DATA") from None


def _first_admin(folder: Path, url: str, secret: str) -> str:
    """The text of an admin's token that this database knows, kept in the data folder from the first start on."""
    from crossfade.server.database import connect
    from crossfade.server.usecases import tokens

    engine, now, path = connect(url), datetime.now(UTC), folder / "admin-token"
    try:
        text = path.read_text().strip() if path.exists() else ""
        if text and tokens.authenticate(engine, text, now=now, secret=secret):
            return text
        path.unlink(missing_ok=True)
        name = f"admin-{secrets.token_hex(3)}"  # names are unique in a database, whatever folder made them
        _, text = tokens.create_token(
            engine, {"name": name, "role": "admin"}, actor="crossfade up", now=now, secret=secret
        )
        return _kept(path, lambda: text)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; choose another folder by --data or CROSSFADE_DATA") from None
    finally:
        engine.dispose()


def _relay(name: str, log: Path, seen: int) -> int:
    """Prints what a part has said since `seen` bytes; the new position. A long log begins anew."""
    try:
        size = log.stat().st_size
        seen = seen if seen <= size else 0  # somebody has cut it
        with log.open("rb") as file:
            file.seek(seen)
            said = file.read(size - seen)
    except FileNotFoundError:  # somebody has taken it away: that is no reason to end
        return 0
    whole = said.rpartition(b"\n")[0]
    for line in whole.decode(errors="replace").splitlines():
        click.echo(f"{name:10} | {line}", err=True)
    if size > MOST_LOG_BYTES:
        os.truncate(log, 0)  # the part appends, so it goes on from the start
        return 0
    return seen + len(whole) + (1 if whole else 0)
