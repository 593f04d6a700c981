"""What can go wrong in a packed store. Each text names the view and what to do, never the key of a row."""


class StoreError(Exception):
    """Base of this package's errors."""


class StoreUnavailable(StoreError):
    """The storage behind cannot be reached, is full or is damaged. Nothing of the failed batch is half written."""


class UnsupportedType(StoreError):
    """A field whose type cannot be stored, or cannot be read as asked."""


class ValueMismatch(StoreError):
    """A value that does not fit the type that its view declares."""


class CorruptRow(StoreError):
    """Stored bytes that are not a row of the layout they claim. The reader adds the view."""


class UnknownName(StoreError):
    """A feature service, view, feature or join key that was asked for and is not there."""
