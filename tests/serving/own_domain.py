"""A server on a domain of its own: the shipped one under another name, with what no shipped recommender declares."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feature_repo.experiment import Experiment, Variant
from feature_repo.exploration import EpsilonSwap
from feature_repo.home import PROJECT
from tests.serving.live_server import Server, environment, launch

PACKAGE = "workplace_with_arms"
STARTS = datetime(2025, 8, 1, tzinfo=UTC)
ENDS = STARTS + timedelta(days=3)
ARMS = Experiment(
    "arms",
    (
        Variant("control", 1.0),
        Variant("newest", 1.0, version="heuristic"),
        Variant("explores", 1.0, exploration=EpsilonSwap(epsilon=1.0, pool=5, regret_budget=1.0)),
        Variant("lost", 1.0, version="nosuchversion"),
        Variant("reversed", 0.0, version="heuristic", shadow=True),
    ),
    STARTS,
    ENDS,
)
EXPERIMENT = """
from dataclasses import replace
from tests.serving.own_domain import ARMS

channel_browser = replace(channel_browser, experiments=(ARMS,))
"""
ATTENTIVE = """
from dataclasses import replace
from datetime import timedelta

from feature_repo.context import ContextField
from feature_repo.discount import Discount
from {domain}.recommenders import channel_browser as other

attentive = replace(
    other.channel_browser,
    name="attentive",
    experiments=(),
    context=(
        ContextField("local_hour", "integer", "Hour of the day", low=0, high=23),
        ContextField("device", "choice", "Where it is shown", choices=("web", "mobile")),
    ),
    caps={{"source": 2}},
    discount=Discount(strength=100.0, half_life=timedelta(hours=1)),
    deadline=timedelta(seconds=2),
)
"""


@contextmanager
def own_domain_server(base: Path) -> Iterator[Server]:
    """The server, ready; the older of channel_browser's two bundles is promoted."""
    package = base / PACKAGE
    shutil.copytree(PROJECT / "feature_repo" / "chat", package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in package.rglob("*.py"):
        file.write_text(file.read_text().replace("feature_repo.chat", package.name))
    declaration = package / "recommenders" / "channel_browser.py"
    declaration.write_text(declaration.read_text() + EXPERIMENT)
    (package / "recommenders" / "attentive.py").write_text(ATTENTIVE.format(domain=package.name))
    shutil.copy(PROJECT / "feature_repo" / "feature_store.yaml", package)
    home = base / "home"
    domain = _domain(base)
    build = [sys.executable, str(Path(__file__).with_name("small_home.py"))]
    built = subprocess.run(
        build, cwd=PROJECT, env=environment(home) | domain, capture_output=True, check=False
    )
    assert built.returncode == 0, built.stderr.decode()
    server = launch(home, more=domain).wait_until_ready()
    yield server
    server.terminate()


def domain_of(server: Server) -> dict[str, str]:
    """The environment in which another process finds the server's domain."""
    return _domain(server.home.parent)


def _domain(base: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{PROJECT}:{base}", "RECOMMEND_DOMAIN": PACKAGE}
