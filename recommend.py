"""The command line: a thin front door. Every job is a function of the package that owns it."""


def main() -> None:
    """Entry point of ``recommend``."""
