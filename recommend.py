"""The command line: a thin front door. Every job is a function of the package that owns it.

Imports stand inside the commands: Feast alone costs four seconds, and ``--help`` must not wait for it.
"""

import os
import socket
import sys
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from feature_repo.clock import default_as_of, midnight, parse_instant
from feature_repo.errors import RecommendError
from serving import keys_cli

# What a library will change one day is nothing that its users' users can mend.
warnings.filterwarnings("ignore", category=DeprecationWarning)
if TYPE_CHECKING:
    from feature_repo.ingest.report import IngestReport
    from serving.replay import Replay

os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

app = typer.Typer(
    help="A recommendation platform centred on a feature store. State lies under RECOMMEND_HOME (default: data/).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(keys_cli.app, name="keys")
console = Console()

AsOf = Annotated[str | None, typer.Option("--as-of", help="The instant to run as of, in UTC. [default: now]")]
Name = Annotated[str, typer.Argument(help="A recommender, e.g. channel_browser.")]
Seed = Annotated[int, typer.Option(help="Same inputs and seed, same result.")]


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _next(command: str) -> None:
    console.print(f"[dim]next:[/dim] {command}", highlight=False, soft_wrap=True)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Where to write the export.")] = Path("data/raw"),
    users: Annotated[int, typer.Option(help="People in the workspace.")] = 2000,
    days: Annotated[int, typer.Option(help="Days of history.")] = 180,
    until: Annotated[str, typer.Option(help="The first day after the last event.")] = "2025-09-01",
    seed: Seed = 7,
) -> None:
    """Generate a chat workspace with a known preference model behind it."""
    from feature_repo.chat.sample import generate

    with _progress() as progress:
        task = progress.add_task("generating", total=days)
        report = generate(
            out,
            users=users,
            days=days,
            until=parse_instant(until).date(),
            seed=seed,
            on_day=lambda day: progress.advance(task),
        )
    for table, rows in report.rows.items():
        console.print(f"{table:>14} {rows:>9,} rows")
    console.print(f"wrote {report.path}")
    _next(f"recommend ingest {out} --format events --workspace sample")


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="The export: a folder or a zip.")],
    format: Annotated[str, typer.Option(help="events, slack-export or zulip-archive.")],
    workspace: Annotated[str, typer.Option(help="Name of the tenant that the export belongs to.")],
    threshold: Annotated[float, typer.Option(help="Largest share of bad rows that is let pass.")] = 0.01,
    as_of: AsOf = None,
) -> None:
    """De-identify an export into event tables."""
    from feature_repo.chat.ingest import ingest as run
    from feature_repo.ingest.report import QuarantineExceeded

    try:
        report = run(path, format, workspace, as_of=_instant(as_of), threshold=threshold)
    except QuarantineExceeded as error:
        _print_counts(error.report)
        raise
    _print_counts(report)
    _next("recommend tables --as-of DATE")


def _print_counts(report: "IngestReport") -> None:
    for table, counts in report.counts.items():
        console.print(
            f"{table:>14} {counts.read:>9,} read = {counts.kept:,} kept + {counts.duplicate:,} duplicate "
            f"+ {counts.quarantined:,} quarantined"
        )
    if report.quarantine_path:
        console.print(f"quarantined rows are listed in {report.quarantine_path}", soft_wrap=True)
    if report.skipped:
        console.print(f"{report.skipped:,} records of the export are no events and were skipped")


@app.command()
def tables(
    as_of: AsOf = None,
    since: Annotated[
        str | None, typer.Option(help="The first snapshot day. [default: 90 days before]")
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="daily, weekly or monthly snapshots. [default: the table's own]")
    ] = None,
    rebuild: Annotated[bool, typer.Option(help="Build again what is there already.")] = False,
) -> None:
    """Build the offline tables from the event tables, with Spark."""
    from feature_repo import catalog, offline

    instant = _instant(as_of)
    offline.check_as_of(catalog.event_tables(), instant)
    steps = offline.steps(
        catalog.offline_tables(),
        as_of=instant.date(),
        since=parse_instant(since).date() if since is not None else None,
        cadence=every,
        rebuild=rebuild,
    )
    if not steps:
        console.print("every snapshot is there already")
    with _progress() as progress:
        task = progress.add_task("starting Spark", total=sum(len(s.days) for s in steps))

        def advance(step: offline.Step) -> None:
            progress.update(task, advance=len(step.days), description=step.table.name)

        built = offline.build(steps, catalog.event_tables(), advance)
    for name, (days, rows) in offline.summary(built).items():
        console.print(f"{name:>22} {days:>4} snapshots {rows:>10,} rows")
    _next("feast -c feature_repo apply")
    _next(f"feast -c feature_repo materialize-incremental {midnight(instant.date()):%Y-%m-%dT%H:%M:%S}")


@app.command()
def train(
    name: Name,
    as_of: AsOf = None,
    model: Annotated[
        str, typer.Option(help="heuristic, logistic, lightgbm, xgboost, or all of them.")
    ] = "all",
    test_cutoffs: Annotated[
        int, typer.Option(min=1, help="How many of the last cut-offs judge the rankers.")
    ] = 1,
    train_cutoffs: Annotated[
        int, typer.Option(min=1, help="At most so many earlier ones are learned from.")
    ] = 12,
    seed: Seed = 7,
) -> None:
    """Train rankers on bootstrap labels and store each with its evidence."""
    from feature_repo.catalog import recommender
    from training import report
    from training.job import train as run
    from training.rankers import LADDER

    models = LADDER if model == "all" else (model,)
    with _progress() as progress:
        task = progress.add_task("reading", total=len(models) + 1)

        def step(what: str) -> None:
            progress.update(task, advance=1, description=what)

        training = run(
            recommender(name),
            _instant(as_of),
            models,
            cutoffs=(train_cutoffs, test_cutoffs),
            seed=seed,
            step=step,
        )
    found = report.document(training)
    report.save(found)
    console.print(report.render(found))
    for trained in training.trained:
        console.print(f"stored {trained.card.tag}  ({trained.card.ranker})", highlight=False)
    _next(
        f"recommend promote {name} {training.best().card.version}   # {training.best().card.ranker}, best in validation"
    )


@app.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="A stored version, a ranker's name, best or latest.")],
) -> None:
    """Make a stored version the one that serves. A running service takes it up within a second or two."""
    from training import champion

    promoted = champion.promote(name, version)
    before = f" instead of {promoted.previous}" if promoted.previous else ""
    console.print(f"{name} is served by {promoted.version}{before}", highlight=False)
    _next("recommend serve")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Where to listen.")] = 3000,
    host: Annotated[
        str, typer.Option(help="The interface to listen on; 0.0.0.0 for all, once there are keys.")
    ] = "127.0.0.1",
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Answer as of this instant where a request names none. [default: now]"),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Worker processes, each with its own ranker.")
    ] = 1,
    pin: Annotated[
        bool, typer.Option("--pin", help="Keep each worker on a core, on a machine of its own.")
    ] = False,
    access_log: Annotated[bool, typer.Option("--access-log", help="One line a request.")] = False,
) -> None:
    """Serve the HTTP API: the same as `bentoml serve serving.service:Recommend`."""
    from feature_repo.home import keys_path
    from serving import keys

    _check_free(host, port)
    if as_of is not None:
        os.environ["RECOMMEND_AS_OF"] = parse_instant(as_of).isoformat()
    os.environ |= {
        "RECOMMEND_WORKERS": str(workers),
        "RECOMMEND_PIN": str(int(pin)),
        "RECOMMEND_ACCESS_LOG": str(int(access_log)),
    }
    if host not in ("127.0.0.1", "::1", "localhost") and keys.read(keys_path()) is None:
        console.print(f"[yellow]{keys.KEYLESS}[/yellow]", highlight=False, soft_wrap=True)
    bentoml = Path(sys.executable).with_name("bentoml")
    command = [str(bentoml), "serve", "serving.service:Recommend", "--host", host, "--port", str(port)]
    os.chdir(Path(__file__).resolve().parent)
    os.execv(bentoml, command)


def _check_free(host: str, port: int) -> None:
    """BentoML says it in fifty lines.

    Raises:
        RecommendError: something listens there, or nothing may.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RecommendError(
                f"{host} port {port} cannot be listened on ({error.strerror}): choose another with --port or --host"
            ) from None


@app.command()
def replay(
    names: Annotated[list[str], typer.Argument(help="Recommenders, e.g. channel_browser.")],
    since: Annotated[str, typer.Option("--from", help="The first day.")],
    until: Annotated[str, typer.Option("--to", help="The last day.")],
    url: Annotated[str, typer.Option(help="Where the service listens.")] = "http://127.0.0.1:3000",
    visits: Annotated[
        int | None, typer.Option(help="A seeded sample of so many visits. [default: all]")
    ] = None,
    versions: Annotated[
        str,
        typer.Option(
            help="Versions to promote in turn for the same visits: heuristic,best. [default: what serves]"
        ),
    ] = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Materialize each later snapshot as its day comes.")
    ] = False,
    seed: Seed = 7,
) -> None:
    """Play real later behaviour against the live service, and log what came of it."""
    from feature_repo import tables
    from feature_repo.catalog import recommender
    from feature_repo.materialize import materialize
    from serving import replay as player
    from serving.crossover import crossover

    begin, end = parse_instant(since), parse_instant(until) + timedelta(days=1)
    declared = [recommender(name) for name in names]
    made = [(r, player.visits(r, begin, end, visits, seed)) for r in declared]
    rounds = [dict.fromkeys(names, version) for version in versions.split(",") if version] or [{}]
    snapshots = {midnight(day) for r in declared for day in tables.snapshot_days(r.candidates.name)}
    periods = [begin, *sorted(day for day in snapshots if refresh and begin < day < end)]
    with _progress() as progress:
        task = progress.add_task("replaying", total=len(rounds) * sum(len(some) for _, some in made))
        results = crossover(
            made,
            rounds,
            periods,
            url,
            materialize if refresh else lambda period: None,
            lambda: progress.advance(task),
        )
    for first, *others in zip(*results, strict=True):
        for result in (first, *others):
            player.save(result)
            console.print(_replayed(result), highlight=False, soft_wrap=True)
        for other in others:
            rates, dcg = other.lifts(first)
            console.print(
                f"  {', '.join(other.rungs)} − {', '.join(first.rungs)}: clickthrough {rates.signed()}, DCG@10 {dcg.signed()}",
                highlight=False,
                soft_wrap=True,
            )
    _next("recommend monitor")


def _replayed(result: "Replay") -> str:
    return (
        f"{result.recommender}, {', '.join(result.model_versions)} ({', '.join(result.rungs)}): "
        f"{len(result.users)} visits, clickthrough {result.clickthrough()}, DCG@10 {result.mean_dcg()}"
    )


@app.command()
def monitor(
    as_of: AsOf = None,
    since: Annotated[
        str | None, typer.Option(help="The first day looked at. [default: all of the log]")
    ] = None,
) -> None:
    """Compare what was served with what was trained on, and write the pages."""
    from monitoring.job import monitor as run

    with console.status("comparing the log with the training references"):
        report = run(_instant(as_of), parse_instant(since) if since is not None else None)
    for line in report.lines:
        console.print(line, highlight=False)
    console.print(f"open {report.index}", highlight=False, soft_wrap=True)


@app.command()
def doctor() -> None:
    """Say what is wrong here and how to mend it."""
    from feature_repo.doctor import examine

    findings = examine()
    for finding in findings:
        mark = (
            "[red]✗[/red]"
            if finding.blocking
            else "[yellow]·[/yellow]"
            if finding.mend
            else "[green]✓[/green]"
        )
        mend = f" → {finding.mend}" if finding.mend else ""
        console.print(f"{mark} {finding.what}: {finding.state}{mend}", highlight=False, soft_wrap=True)
    if any(f.blocking for f in findings):
        raise typer.Exit(1)


def _instant(text: str | None) -> datetime:
    return default_as_of() if text is None else parse_instant(text)


def main() -> None:
    """Entry point of ``recommend``: a mendable error is one line on standard error, and exit code 2."""
    try:
        app()
    except RecommendError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
