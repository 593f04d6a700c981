"""``recommend keys``: who may call the API."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from feature_repo.clock import midnight, parse_instant
from feature_repo.home import keys_path, vault_path
from serving import keys
from serving.keys import DEFAULT_RATE, SCOPES

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is. A second one of the same name is fine.")],
    workspace: Annotated[str, typer.Option(help="The only workspace that it opens.")],
    scope: Annotated[list[str], typer.Option(help=f"{', '.join(SCOPES)}; repeat it for several.")],
    rate: Annotated[int, typer.Option(help="Requests a second, in each worker.")] = DEFAULT_RATE,
    expires: Annotated[
        str | None, typer.Option(help="The instant from which on it is refused, in UTC. [default: never]")
    ] = None,
) -> None:
    """Make a key and print it, once, alone on standard output. A running service knows it within two seconds."""
    until = parse_instant(expires) if expires is not None else None
    first = keys.read(keys_path()) is None
    key, token = keys.add(keys_path(), name, workspace, scope, rate, until)
    typer.echo(token)
    notes = Console(stderr=True)
    notes.print(
        f"key {key.id} for {', '.join(key.scopes)}; it is not shown again. "
        f"Send it as `Authorization: Bearer rk_{key.id}_…`",
        highlight=False,
        soft_wrap=True,
    )
    if first:
        notes.print("from now on every client needs a key, those on this machine as well", soft_wrap=True)
    if not _ingested(workspace):
        notes.print(
            f"nothing has been ingested for {workspace!r} so far: "
            f"`recommend ingest PATH --workspace {workspace}`, or mend the name",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@app.command("list")
def list_() -> None:
    """Show all keys, by their ids and last four characters."""
    found = keys.read(keys_path())
    if found is None:
        Console().print(keys.KEYLESS, highlight=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("id", "name", "workspace", "scopes", "rate/s", "created", "expires", "last 4"):
        # An id that a narrow terminal cut off could not be revoked.
        table.add_column(heading, overflow="fold", no_wrap=heading == "id", min_width=4)
    for key in found:
        expires = _shown(key.expires) if key.expires else "never"
        bounds = ("\n".join(key.scopes), str(key.rate), f"{key.created:%Y-%m-%d}", expires)
        table.add_row(key.id, key.name, escape(key.workspace), *bounds, key.last_four)
    Console().print(table, highlight=False)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `recommend keys list` shows it.")],
) -> None:
    """Revoke a key. A running service refuses it within two seconds."""
    revoked = keys.revoke(keys_path(), key_id)
    console = Console()
    console.print(f"revoked {revoked.id} ({revoked.name})", highlight=False, soft_wrap=True)
    if not keys.read(keys_path()):
        console.print(
            f"it was the last one: the service answers nobody until a key is added; to serve this machine "
            f"without keys again, delete {keys_path()} and restart",
            highlight=False,
            soft_wrap=True,
        )


def _ingested(workspace: str) -> bool:
    if not vault_path().exists():
        return False
    from feature_repo.identity import Vault  # brings in NumPy, which `--help` need not wait for

    with Vault(vault_path()) as vault:
        return workspace in vault.workspaces()


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d}" if instant == midnight(instant.date()) else f"{instant:%Y-%m-%d %H:%M}"
