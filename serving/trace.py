"""What became of one candidate on its way through the stages."""

from dataclasses import dataclass, field

import numpy as np

from serving.contract import ExplainResponse, Rival, StageCount, Verdict
from serving.draft import Draft
from serving.explanation import differences, reasons, sentence


@dataclass
class Trace:
    """A witness of the stages, for `serving.pipeline.Pipeline.run`."""

    stages: list[tuple[str, Draft, Draft]] = field(default_factory=list)

    def __call__(self, stage: str, before: Draft, after: Draft) -> None:
        """Remember a stage. One that is run again, as ranking failed, begins the list anew."""
        if stage in ("popularity", "recall"):
            self.stages.clear()
        self.stages.append((stage, before, after))

    def explanation(self, candidate: int, shown: Draft) -> ExplainResponse:
        """The verdict on a candidate, by the first stage after which it was gone."""
        lost = next((s for s in self.stages if _place(s[2], candidate) is None), None)
        ranked = self._ranking()
        place = None if ranked is None else _place(ranked, candidate)
        before = len(shown.shown)  # on the pages before, which ranks go on from
        rank = None if place is None else before + place + 1
        verdict = _verdict(lost, candidate)
        if verdict == "outranked" and ranked and place is not None and _is_passed_over(ranked, place, shown):
            verdict = "too-alike"
        own = ranked.take(np.array([place])) if ranked is not None and place is not None else None
        sources, found = ([], []) if own is None else (own.candidates.sources[0], reasons(own)[0])
        rival = (
            _rival(ranked, place, shown) if verdict == "outranked" and ranked and place is not None else None
        )
        return ExplainResponse(
            verdict=verdict,
            detail=sentence(sources, found)
            if verdict == "shown"
            else _detail(verdict, candidate, rank, rival, shown),
            rank=before + (_place(shown, candidate) or 0) + 1 if verdict == "shown" else rank,
            score=None if own is None else float(own.scores[0]),
            sources=sources,
            reasons=found,
            beaten_by=rival,
            rung=shown.rung,
            model_version=shown.model_version,
            stages=[
                StageCount(stage=name, candidates=len(after.candidates.ids)) for name, _, after in self.stages
            ],
        )

    def _ranking(self) -> Draft | None:
        """All that were ranked, in their last whole order: caps and the limit have not cut it yet."""
        ranked = [after for name, _, after in self.stages if name == "order"]
        return ranked[-1] if ranked else None


def unknown(candidate: str, shown: Draft) -> ExplainResponse:
    """The verdict on an id that was never seen here."""
    return ExplainResponse(
        verdict="unknown",
        detail=f"{candidate} is not known in this workspace",
        rank=None,
        score=None,
        sources=[],
        reasons=[],
        beaten_by=None,
        rung=shown.rung,
        model_version=shown.model_version,
        stages=[],
    )


def _place(draft: Draft, candidate: int) -> int | None:
    found = np.flatnonzero(draft.candidates.ids == candidate)
    return int(found[0]) if len(found) else None


def _verdict(lost: tuple[str, Draft, Draft] | None, candidate: int) -> Verdict:
    if lost is None:
        return "shown"
    stage, before, _ = lost
    match stage:
        case "retrieve" | "popularity" | "recall":
            return "not-retrieved"
        case "exclude":
            return "excluded"
        case "filter":
            return "filtered"
        case "diversify" if before.wish.caps:  # with caps, diversity orders all and drops nobody
            return "capped"
        case "name" if (_place(before, candidate) or 0) < before.considered:
            return "forgotten"
        case "explore" if (_place(before, candidate) or 0) < before.limit:
            return "displaced"
    return "outranked"


def _is_passed_over(ranked: Draft, place: int, shown: Draft) -> bool:
    """Whether an item with a lower rank is shown, as diversity was asked for."""
    if not shown.wish.diversity:
        return False
    return bool(np.isin(ranked.candidates.ids[place + 1 :], shown.candidates.ids).any())


def _rival(ranked: Draft, place: int, shown: Draft) -> Rival | None:
    if not shown.names:
        return None
    last = len(shown.names) - 1
    there = _place(ranked, int(shown.candidates.ids[last]))
    ahead = [] if there is None else differences(ranked, place, there)
    return Rival(
        id=shown.names[last],
        rank=len(shown.shown) + last + 1,
        score=float(shown.scores[last]),
        ahead_by=ahead,
    )


def _detail(verdict: Verdict, candidate: int, rank: int | None, rival: Rival | None, shown: Draft) -> str:
    match verdict:
        case "not-retrieved":
            return "no source names it, and the request does not bring it along"
        case "excluded" if candidate in shown.shown:
            return "a page before this one has shown it"
        case "excluded":
            return "the request excludes it, or it is who asks"
        case "filtered":
            text = shown.wish.filter.text if shown.wish.filter else ""
            return f"the filter does not hold: {text}"
        case "capped":
            return f"as many items as the caps allow stand above it: {dict(shown.wish.caps)}"
        case "too-alike":
            return f"ranked {rank}, and items less like those above it were chosen before it"
        case "forgotten":
            return "its id was erased from the vault, or the vault cannot say it"
        case "displaced":
            return f"ranked {rank}, and gave way to another item that is tried out"
    last = f": {rival.id} is the last" if rival else ""
    return f"ranked {rank}, and {len(shown.names)} items are shown{last}"
