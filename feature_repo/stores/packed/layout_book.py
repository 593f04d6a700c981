"""The layouts that rows were written under, kept beside the rows, so that an older row is read by its own."""

from feature_repo.stores.packed.backends import Backend
from feature_repo.stores.packed.layout import FORMAT, Layout, parse_layout

# No view's prefix begins with this many zeros but by a chance of one in a trillion.
_PREFIX = bytes(8) + b"layout"


class LayoutBook:
    """Layouts by the head of their rows."""

    def __init__(self, backend: Backend) -> None:
        """Nothing is read before it is asked for."""
        self._backend = backend
        self._known: dict[int, Layout] = {}

    def remember(self, layout: Layout) -> None:
        """Write the layout down, once; to be done before the first row of it is written."""
        if layout.head not in self._known:
            self._backend.put(_PREFIX + layout.head.to_bytes(8, "little"), layout.describe())
            self._known[layout.head] = layout

    def find(self, head: int) -> Layout | None:
        """The layout of rows with this head; None where nobody has written it down, or the format is another."""
        if head not in self._known and head & 0xFF == FORMAT:
            (description,) = self._backend.read([_PREFIX + head.to_bytes(8, "little")])
            if description is not None:
                self._known[head] = parse_layout(description)
        return self._known.get(head)
