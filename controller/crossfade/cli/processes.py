"""The entry points of Crossfade's processes."""

from __future__ import annotations

from typing import Any

import click

from crossfade.errors import SetupError

_PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.command()
@click.option("--to", "revision", default="head", show_default=True, help="The revision to go up to.")
def migrate(revision: str) -> None:
    """Bring the database to the schema this version needs. DATABASE_URL says where it is."""
    from crossfade.server import settings
    from crossfade.server.migrate import upgrade

    url = settings.load().database_url.get_secret_value()
    if not url:
        raise SetupError("DATABASE_URL is not set: give the address of a database, postgresql://USER@HOST/NAME")
    upgrade(url, revision)
    click.echo("The database is up to date.")


@click.command()
@click.option("--host", help="Address to listen on. Default: CROSSFADE_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: CROSSFADE_PORT, else 8321. 0: a free one.")
def controller(host: str | None, port: int | None) -> None:
    """Run the controller: API and pages. Any number may run."""
    from crossfade.server import settings
    from crossfade.server.serve import serve

    given: dict[str, Any] = {"host": host, "port": port}
    chosen = {name: value for name, value in given.items() if value is not None}
    serve(settings.load(**chosen), listening=lambda address: click.echo(f"The controller listens on {address}"))


@click.command()
def scheduler() -> None:
    """Run the scheduler: evaluates rollouts. Any number may run; there is no leader."""
    from crossfade.server import settings
    from crossfade.server.scheduler import main

    main(settings.load())


@click.command()
@click.option("--host", help="Address to listen on. Default: CROSSFADE_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: CROSSFADE_PORT, else 8321.")
@click.option(
    "--data",
    type=click.Path(file_okay=False),
    envvar="CROSSFADE_DATA",
    default=".crossfade/data",
    show_default=True,
    help="Folder for the embedded Postgres, the secret and the first admin token.",
)
def up(host: str | None, port: int | None, data: str) -> None:
    """Run it all on this machine. Postgres (yours if DATABASE_URL is set), migrations, controller and scheduler."""
    from crossfade.cli.up import run_up

    run_up(host, port, data)


@click.command(context_settings=_PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> int:
    """Run the local Bedrock. `crossfade sandbox --help` has its options. Needs crossfade[demo]."""
    try:
        from crossfade.sandbox.__main__ import main
    except ImportError as error:
        raise _without("demo", error) from None
    return main(list(arguments))


@click.command(context_settings=_PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """Watch a candidate earn its promotion, or lose it. `crossfade demo --help` has its options.

    Needs crossfade[demo].
    """
    try:
        import crossfade.sandbox.__main__  # noqa: F401 (the demo starts it as a process)
        from crossfade.demo.main import main
    except ImportError as error:
        raise _without("demo", error) from None
    return main(list(arguments))


@click.command()
@click.option("--host", help="Address to listen on. Default: CROSSFADE_SIDECAR_HOST, else 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Default: CROSSFADE_SIDECAR_PORT, else 8322. 0: a free one."
)
@click.option("--socket", type=click.Path(dir_okay=False), help="A Unix socket to listen on instead.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes. Default: CROSSFADE_SIDECAR_WORKERS, else 1.")
def sidecar(host: str | None, port: int | None, socket: str | None, workers: int | None) -> None:
    """Run the sidecar: the call path over HTTP, for services that do not use boto3. Needs crossfade[sidecar]."""
    try:
        from crossfade.sidecar.serve import serve
        from crossfade.sidecar.settings import load
    except ImportError as error:
        raise _without("sidecar", error) from None
    settings = load(host=host, port=port, socket=socket, workers=workers)
    serve(settings, listening=lambda address: click.echo(f"The sidecar listens on {address}"))


def _without(extra: str, error: ImportError) -> SetupError:
    return SetupError(f"{error}: install Crossfade with its extra [{extra}]")


COMMANDS = (migrate, controller, scheduler, up, sidecar, sandbox, demo)
