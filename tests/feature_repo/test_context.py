"""A context field takes what it declares, and says what to send instead."""

from typing import Any

import pytest

from feature_repo.context import ContextField
from feature_repo.errors import RecommendError

HOUR = ContextField("local_hour", "integer", "Hour of the day", low=0, high=23)
SHARE = ContextField("share", "number", "A share")
AWAY = ContextField("away", "boolean", "Whether the asker is away")
DEVICE = ContextField("device", "choice", "Where it is shown", choices=("web", "mobile"))


@pytest.mark.parametrize(
    ("field", "value", "mend"),
    [
        (HOUR, 14, None),
        (HOUR, 14.0, None),
        (HOUR, 14.5, "send a whole number"),
        (HOUR, 24, "send a number from 0 to 23"),
        (HOUR, True, "send a whole number"),
        (HOUR, "14", "send a whole number"),
        (SHARE, -1e9, None),
        (SHARE, 3, None),
        (SHARE, False, "send a number"),
        (AWAY, True, None),
        (AWAY, 1, "send true or false"),
        (DEVICE, "web", None),
        (DEVICE, "fax", "send one of web, mobile"),
        (DEVICE, 1, "send one of web, mobile"),
    ],
)
def test_a_value_fits_or_its_mend_is_told(field: ContextField, value: Any, mend: str | None) -> None:
    assert field.mend(value) == mend


def test_only_numbers_may_be_calculated_with() -> None:
    assert [f.is_numeric for f in (HOUR, SHARE, AWAY, DEVICE)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("local hour", {"type": "number"}, "letters, digits and _"),
        ("device", {"type": "choice"}, "has choices"),
        ("device", {"type": "number", "choices": ("web",)}, "has choices"),
    ],
)
def test_a_field_that_cannot_be_is_refused(name: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(RecommendError, match=said):
        ContextField(name, description="", **more)
