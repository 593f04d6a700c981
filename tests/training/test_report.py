"""The printed table: everything is in it, it fits a terminal, and it survives a file."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.community import NAME
from tests.conftest import Trained
from training import report
from training.evaluate import METRICS
from training.rankers import LADDER
from training.report import Document

WIDTH = 80


@pytest.fixture
def document(trained: Trained) -> Document:
    return report.document(trained.training)


def printed(document: Document) -> str:
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(report.render(document))
    return capture.get()


def short(number: float, sign: str = "") -> str:
    return re.sub(r"^([+-]?)0(?=\.)", r"\1", f"{number:{sign}.3f}")


def test_the_document_has_a_row_for_popularity_and_for_every_rung(
    trained: Trained, document: Document
) -> None:
    training = trained.training
    assert [row["ranker"] for row in document["rows"]] == ["popularity", *LADDER]
    assert [row["version"] for row in document["rows"]] == [None, *(t.card.version for t in training.trained)]
    assert document["best"] == training.best().card.version
    assert [sorted(row["lifts"]) for row in document["rows"]] == [
        [],
        ["popularity"],
        *[["heuristic", "popularity"]] * 3,
    ]
    popularity = training.popularity.intervals(training.seed)
    assert document["rows"][0]["metrics"]["ndcg@10"] == vars(popularity["ndcg@10"])
    for rung, row in zip(training.trained, document["rows"][1:], strict=True):
        assert row["metrics"] == {m: vars(i) for m, i in rung.card.metrics.items()}
        assert row["lifts"]["popularity"] == vars(training.lift(rung, training.popularity))


def test_what_is_printed_holds_every_ranker_and_every_number(document: Document) -> None:
    text = printed(document)
    for row in document["rows"]:
        assert row["ranker"] in text
        for interval in row["metrics"].values():
            assert short(interval["value"]) in text
            assert f"{short(interval['low'])}…{short(interval['high'])}" in text
        for interval in row["lifts"].values():
            assert short(interval["value"], "+") in text
            assert f"{short(interval['low'], '+')}…{short(interval['high'], '+')}" in text
    assert all(metric in text for metric in METRICS)
    assert f"{NAME}, judged at 2025-07-21" in text


def test_what_is_printed_fits_eighty_columns(document: Document) -> None:
    lines = printed(document).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not [line for line in lines if line.rstrip().endswith("…")], "nothing is cut"


def test_the_caption_counts_what_was_judged(trained: Trained, document: Document) -> None:
    test = trained.training.data.test
    found = test.labels.sum() / test.positives.sum()
    assert f"{len(test.positives)} test queries with {test.positives.sum()} positives" in document["caption"]
    assert f"the sources found {found:.0%}" in document["caption"]
    assert "at 7 cut-offs from 2025-05-05 to 2025-06-16" in document["caption"]


def test_it_survives_a_file_and_a_newer_one_replaces_it(own_trained: Trained) -> None:
    document = report.document(own_trained.training)
    assert report.save({**document, "title": "older"}) == report.save(document) == report.path(NAME)
    assert report.load(NAME) == document
    assert printed(report.load(NAME)) == printed(document)


@given(st.floats(-40, 40), st.sampled_from(["", "+"]))
def test_a_shortened_number_is_still_that_number(number: float, sign: str) -> None:
    text = str(report.cell({"value": number, "low": number, "high": number}, sign=sign)).split("\n")[0]
    assert math.isclose(float(text), number, abs_tol=5.1e-4)
    assert not re.match(r"[+-]?0\.", text)
