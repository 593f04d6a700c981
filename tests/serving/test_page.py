"""The page at ``/``, in a real browser at a real service."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import duckdb
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect, sync_playwright

from feature_repo.events import PLATFORM_TABLES, register
from serving import keys
from serving.page.app import HEADERS
from serving.problems import MEDIA_TYPE
from tests.serving.live_server import Row, Server, launch, logged, number
from tests.serving.small_home import CHANNELS, USERS

CHROMIUM = shutil.which("chromium")
STRANGER = "stranger.example"
HOSTILE = "<img src=x onerror=\"document.title='run'\">&amp;</summary>"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="THE PAGE IS NOT TESTED: there is no chromium; install the package `chromium`"
)


@dataclass
class Tab:
    """A tab, with what it asked for and what its console said."""

    page: Page
    home: str
    requests: list[Request] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen."""
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))

    def open(self) -> "Tab":
        """Go to the page."""
        self.page.goto(self.home)
        return self

    def ready(self) -> "Tab":
        """Go to the page, and wait until it knows the recommenders."""
        self.open()
        expect(self.page.get_by_label("Recommender")).to_have_value("channel_browser")
        return self

    def ask(self, user: str) -> Row:
        """The answer that the page was given for an id that was typed whole."""
        self.page.get_by_label("Who asks").fill(user)
        with self.page.expect_response("**/v1/recommend") as got:
            self.page.get_by_label("Who asks").press("Enter")
        answer: Row = got.value.json()
        return answer

    def field(self, name: str) -> Locator:
        """An input or a select, by its label."""
        return self.page.locator("input, select").and_(self.page.get_by_label(name))

    @property
    def items(self) -> Locator:
        """The list."""
        return self.page.locator("#items > li")

    @property
    def facts(self) -> dict[str, str]:
        """The line on how the list was answered."""
        return pairs(self.page.locator("#facts"))

    def check(self, *refused: int) -> None:
        """It asked nobody but its service, for dry runs only, and its console holds the refusals named alone."""
        asked = {urlsplit(r.url).netloc for r in self.requests if not r.url.startswith("data:")}
        assert asked == {urlsplit(self.home).netloc}
        posted = [r.post_data_json for r in self.requests if r.method == "POST"]
        assert all(body["dry_run"] is True for body in posted)
        expected = [f"the server responded with a status of {status}" for status in refused]
        assert [c for c in self.console if not any(e in c for e in expected)] == []


def pairs(definitions: Locator) -> dict[str, str]:
    """Terms and what they stand for."""
    terms = definitions.locator("dt").all_text_contents()
    return dict(zip(terms, definitions.locator("dd").all_text_contents(), strict=True))


def cells(table: Locator) -> list[list[str]]:
    """The texts of a table's rows."""
    return [r.locator("th, td").all_text_contents() for r in table.locator("tbody tr").all()]


def shown(value: float | None) -> str:
    """A number as the page writes it."""
    return "missing" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with the module: while it is open, its event loop is the thread's."""
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1"]
        )
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A session of its own."""
    with browser.new_context() as made:
        yield made


@pytest.fixture
def tab(context: BrowserContext, server: Server) -> Tab:
    """A tab for the service that has no keys."""
    return Tab(context.new_page(), str(server.http.base_url))


def test_the_files_of_the_page_and_nothing_else(server: Server) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/combobox.js", "text/javascript"),
        ("/page.css", "text/css"),
    ):
        for answer in (server.http.get(path), server.http.head(path)):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            assert HEADERS.items() <= {k: answer.headers.get(k) for k in HEADERS}.items()
        again = server.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert server.http.post(path).status_code == 405
    for path in ("/page.html", "/static/page.js", "/../app.py", "/v2", "/favicon.ico"):
        assert server.http.get(path).status_code == 404
    unknown = server.http.get("/v1/no-such-thing")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, MEDIA_TYPE)
    for path in ("/livez", "/readyz", "/metrics", "/v1/recommenders", "/v1/openapi.json"):
        assert server.http.get(path).status_code == 200
        assert "content-security-policy" not in server.http.get(path).headers


@needs_chromium
def test_typing_suggests_and_the_keyboard_alone_gets_a_list_and_its_reasons(tab: Tab, server: Server) -> None:
    page = tab.ready().page
    for control in page.locator("input, select").all():
        assert control.evaluate("e => e.labels.length"), control.get_attribute("id")
    tab.field("Who asks").focus()
    page.keyboard.type("U")
    options = page.get_by_role("listbox", name="Known ids").get_by_role("option")
    known = sorted(u for u in USERS if u.startswith("U"))
    expect(options).to_have_text(known)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    with page.expect_response("**/v1/recommend") as got:
        page.keyboard.press("Enter")
    expect(tab.field("Who asks")).to_have_value(known[1])
    answer = got.value.json()
    assert answer["items"] == server.recommend(known[1], dry_run=True, explain=True)["items"]

    expect(tab.items).to_have_count(10)
    for row, item in zip(tab.items.all(), answer["items"], strict=True):
        told = [row.locator(f".{part}").inner_text() for part in ("rank", "id", "score", "why")]
        assert told == [str(item["rank"]), item["id"], f"{item['score']:.3f}", item["why"]]
        assert row.locator(".source").all_text_contents() == item["sources"]
    assert tab.facts.keys() == {"rung", "model", "variant", "time", "stages"}
    assert tab.facts["model"] == answer["model_version"]
    assert len(tab.facts["stages"].split(" · ")) == len(answer["timings_ms"])

    first = tab.items.first
    expect(first.locator("table")).to_be_hidden()
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(first.locator("table")).to_be_visible()
    reasons = answer["items"][0]["reasons"]
    assert cells(first.locator("table")) == [
        [r["feature"], shown(r["value"]), "+" + shown(r["contribution"])] for r in reasons
    ]
    widths = [bar.bounding_box()["width"] for bar in first.locator(".bar").all()]
    parts = [r["contribution"] for r in reasons]
    assert [w / widths[0] for w in widths] == pytest.approx([p / parts[0] for p in parts], abs=0.02)
    tab.check()


@needs_chromium
def test_why_not_is_the_verdict_of_the_service(tab: Tab, server: Server) -> None:
    tab.ready().ask("U1")
    page = tab.page
    for candidate, verdict in (("C3", "outranked"), ("no such candidate", "unknown")):
        tab.field("Candidate").fill(candidate)
        with page.expect_response("**/v1/explain") as got:
            page.get_by_role("button", name="Explain").click()
        told = got.value.json()
        box = page.locator("#verdict")
        expect(box.locator(".verdict")).to_have_text(verdict)
        assert told["verdict"] == verdict
        expect(box).to_contain_text(told["detail"])
        if told["beaten_by"]:
            assert pairs(box.locator("dl"))["rank"] == str(told["rank"])
            expect(box.locator("h3")).to_have_text(f"Behind {told['beaten_by']['id']}")
            ahead, _, stages = box.locator("table").all()
            assert [row[0] for row in cells(ahead)] == [r["feature"] for r in told["beaten_by"]["ahead_by"]]
            assert cells(stages) == [[s["stage"], str(s["candidates"])] for s in told["stages"]]
    tab.field("Candidate").fill("")
    tab.field("Candidate").press_sequentially("C24")
    options = page.get_by_role("listbox", name="Known candidates").get_by_role("option")
    expect(options).to_have_text(sorted(c for c in CHANNELS if c.startswith("C24"))[:20])
    options.filter(has_text="C247").click()
    expect(page.locator("#verdict .verdict")).not_to_have_text("unknown")
    expect(tab.field("Candidate")).to_have_value("C247")
    tab.check()


@needs_chromium
def test_another_variant_or_recommender_answers_anew(tab: Tab, server: Server) -> None:
    tab.ready().ask("U1")
    promoted = server.http.get("/v1/recommenders").json()["recommenders"][0]["model_version"]
    assert promoted != "declared"
    expect(tab.page.locator("#facts")).to_contain_text(promoted)
    tab.field("Variant").select_option("declared")
    expect(tab.page.locator("#facts")).not_to_contain_text(promoted)
    assert (tab.facts["variant"], tab.facts["model"]) == ("declared", "declared")
    tab.field("Variant").select_option("champion")
    expect(tab.page.locator("#facts")).to_contain_text(promoted)

    tab.field("Candidate").fill("C3")
    with tab.page.expect_response("**/v1/recommend") as got:
        tab.field("Recommender").select_option("composer_dm")
    answer = got.value.json()
    assert answer["recommender"] == "composer_dm"
    expect(tab.field("Who asks")).to_have_value("U1")
    expect(tab.field("Candidate peer_id")).to_have_value("")
    expect(tab.page.locator("#items")).to_have_attribute("aria-busy", "false")
    assert tab.facts["model"] == answer["model_version"]
    assert tab.facts.get("degraded") == ("yes" if answer["degraded"] else None)
    assert tab.facts.get("warnings") == (", ".join(answer["warnings"]) or None)
    assert [row.locator(".id").inner_text() for row in tab.items.all()] == [i["id"] for i in answer["items"]]
    tab.check()


@needs_chromium
def test_a_problem_stands_beside_the_field_that_it_names(tab: Tab) -> None:
    tab.ready().ask("U1")
    expect(tab.items).to_have_count(10)
    tab.field("Limit").fill("101")
    tab.field("Limit").press("Enter")
    expect(tab.page.locator("#limit-error")).to_have_text("Input should be less than or equal to 100")
    expect(tab.field("Limit")).to_have_attribute("aria-invalid", "true")
    assert tab.field("Limit").evaluate("e => e.getAttribute('aria-describedby')") == "limit-error"
    expect(tab.items).to_have_count(0)
    tab.field("Limit").fill("3")
    tab.field("Who asks").fill("")
    tab.field("Who asks").press("Enter")
    expect(tab.page.locator("#query-error")).to_contain_text("is empty: send at least one character")
    expect(tab.page.locator("#limit-error")).to_be_empty()
    tab.ask("U1")
    expect(tab.items).to_have_count(3)
    expect(tab.page.locator("#query-error")).to_be_empty()
    tab.check(422)


@needs_chromium
def test_what_the_page_asks_is_not_logged(tab: Tab, server: Server) -> None:
    tab.ready()
    looked_at = [number(tab.ask(user)["request_id"]) for user in ("U1", "U2")]
    tab.field("Candidate").fill("C3")
    tab.field("Candidate").press("Enter")
    expect(tab.page.locator("#verdict .verdict")).to_be_visible()
    tab.check()
    after = server.recommend(limit=2)
    assert len(logged("impressions", after["request_id"], 2)) == 2, "the log has come so far"
    with duckdb.connect() as connection:
        register(connection, PLATFORM_TABLES)
        found = connection.execute("SELECT count(*) FROM impressions WHERE request_id IN ?", [looked_at])
        assert found.fetchone() == (0,)


@needs_chromium
def test_a_page_of_a_stranger_reaches_nothing(context: BrowserContext, server: Server) -> None:
    port = server.http.base_url.port
    rebound = Tab(context.new_page(), f"http://{STRANGER}:{port}").open()
    expect(rebound.page.locator("#key-error")).to_contain_text("Host: without keys the service answers to")
    expect(rebound.page.locator("#recommender option")).to_have_count(0)
    rebound.check(403)
    for origin, status in ((f"http://{STRANGER}:{port}", 403), (f"http://127.0.0.1:{port}", 200)):
        body = {"recommender": "channel_browser", "query": {"user_id": "U1"}, "dry_run": True}
        answer = server.http.post("/v1/recommend", json=body, headers={"Origin": origin})
        assert answer.status_code == status
        assert answer.json().get("type", "").endswith(":foreign-origin") == (status == 403)


@dataclass(frozen=True)
class Guarded:
    """A service with keys, a token by scope."""

    server: Server
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def guarded(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One who asks and the most popular candidate are called by markup."""
    home = tmp_path_factory.mktemp("page") / "home"
    shutil.copytree(server.home, home, ignore=shutil.ignore_patterns("log"))
    with closing(sqlite3.connect(home / "vault.sqlite")) as vault, vault:
        for raw in ("U4", "C250"):  # U4 has no candidates of their own, so gets the popular list
            changed = vault.execute("UPDATE identities SET raw = ? WHERE raw = ?", (HOSTILE, raw))
            assert changed.rowcount == 1
    path = home / "api_keys.json"
    tokens = {scope: keys.add(path, scope, "acme", [scope])[1] for scope in ("recommend", "admin")}
    running = launch(home).wait_until_ready()
    yield Guarded(running, tokens)
    running.terminate()


@needs_chromium
@pytest.mark.slow
def test_the_key_box_comes_when_it_is_needed_and_keeps_the_key_in_its_tab(
    context: BrowserContext, guarded: Guarded
) -> None:
    tab = Tab(context.new_page(), str(guarded.server.http.base_url)).open()
    box, page = tab.page.locator("#key-form"), tab.page
    expect(box).to_contain_text("recommend keys add")
    expect(box.get_by_label("API key")).to_be_focused()
    expect(box.get_by_label("API key")).to_have_attribute("type", "password")
    enter_key(tab, "ключ")
    expect(box).to_contain_text("This is no key")
    enter_key(tab, "rk_" + "0" * 12 + "_" + "A" * 43)
    expect(box).to_contain_text("unknown or revoked")

    enter_key(tab, guarded.tokens["recommend"])
    expect(box).to_be_hidden()
    expect(tab.field("Recommender")).to_have_value("channel_browser")
    assert tab.ask("U1")["items"]
    expect(box).to_contain_text("lacks the scope admin")  # which suggestions are for
    box.get_by_role("button", name="Forget it").click()
    assert page.evaluate("sessionStorage.length") == 0

    enter_key(tab, guarded.tokens["admin"])
    expect(box).to_be_hidden()
    tab.field("Who asks").fill("ada")
    expect(page.get_by_role("option", selected=False).locator("visible=true")).to_have_text(
        ["ada.lovelace@example.org"]
    )
    kept = page.evaluate("({...sessionStorage, local: localStorage.length, cookie: document.cookie})")
    assert kept == {"recommend-key": guarded.tokens["admin"], "local": 0, "cookie": ""}
    secrets = [token.split("_", 2)[-1] for token in guarded.tokens.values()]
    assert not [r.url for r in tab.requests if any(secret in r.url for secret in secrets)]
    tab.check(401, 403)
    expect(Tab(context.new_page(), tab.home).open().page.locator("#key-form")).to_be_visible()


@needs_chromium
@pytest.mark.slow
def test_an_id_that_is_markup_is_shown_as_text(context: BrowserContext, guarded: Guarded) -> None:
    tab = Tab(context.new_page(), str(guarded.server.http.base_url)).open()
    page = tab.page
    enter_key(tab, guarded.tokens["admin"])
    expect(tab.field("Recommender")).to_have_value("channel_browser")
    tab.field("Who asks").fill("<")
    options = page.get_by_role("listbox", name="Known ids").get_by_role("option")
    expect(options).to_have_text([HOSTILE])
    options.click()
    expect(page.locator("#summary")).to_contain_text(HOSTILE)
    expect(tab.items.first.locator(".id")).to_have_text(HOSTILE)
    tab.items.first.locator("summary").click()
    tab.field("Limit").fill("1")
    for candidate in (HOSTILE, "C1", HOSTILE + "?"):
        tab.field("Candidate").fill(candidate)
        tab.field("Candidate").press("Enter")
        expected = {HOSTILE: "shown", "C1": f"Behind {HOSTILE}"}.get(candidate, candidate)
        expect(page.locator("#verdict")).to_contain_text(expected)
    expect(page).to_have_title("Recommend")
    expect(page.locator("main img")).to_have_count(0)
    tab.check(401)


def enter_key(tab: Tab, key: str) -> None:
    """Paste a key into the box, once it is there."""
    tab.page.get_by_label("API key").fill(key)
    tab.page.get_by_role("button", name="Use key").click()
