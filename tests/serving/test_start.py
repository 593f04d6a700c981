"""Starting and stopping the service."""

import subprocess
import sys

from feature_repo.clock import default_as_of
from feature_repo.home import PROJECT
from serving import request_id
from tests.serving.live_server import Server, environment, logged


def test_the_service_imports_no_feast_no_evidently_and_tracks_nobody(bare_server: Server) -> None:
    program = (
        "import os, sys\n"
        "from bentoml._internal.utils.analytics.usage_stats import do_not_track\n"
        "do_not_track()\n"
        "import serving.service\n"
        "assert do_not_track(), 'BentoML would send usage data'\n"
        "assert os.environ['DO_NOT_TRACK'] == '1'\n"
        "heavy = {'feast', 'evidently', 'pyspark', 'feature_repo.chat', 'monitoring'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import serving.engine\n"
        "heavy = {'evidently', 'pyspark', 'monitoring', 'lightgbm', 'xgboost'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=environment(bare_server.home),
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()


def test_sigterm_writes_what_is_queued(bare_server: Server) -> None:
    bare_server.wait_until_ready()
    answered = request_id.text(request_id.new("channel_browser"), default_as_of())
    event = {"event_id": "last words", "request_id": answered, "id": "C1", "outcome": "join"}
    assert bare_server.http.post("/v1/outcomes", json={"events": [event]}).json()["accepted"] == 1
    assert bare_server.terminate() == 0
    assert len(logged("outcomes", answered, 1)) == 1
    assert not list(bare_server.home.rglob("*.draft")), "no draft is left behind"
