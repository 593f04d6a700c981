"""How raw ids are made of what exports have."""

_SEPARATOR = "\x1f"


def scoped(scope: str | None, local: str | None) -> str | None:
    """An id that is unique only within ``scope``, such as a topic within a channel, made unique."""
    return None if scope is None or local is None else f"{scope}{_SEPARATOR}{local}"


def scoped_sql(scope: str, local: str) -> str:
    """The same as a DuckDB expression."""
    return f"({scope} || chr({ord(_SEPARATOR)}) || {local})"
