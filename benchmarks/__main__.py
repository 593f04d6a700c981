"""Run one benchmark, or all: each prints a table and, last, one JSON object."""

import argparse
import importlib
import json
import pkgutil

import benchmarks


def main() -> None:
    """Entry point of ``python -m benchmarks``."""
    known = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[[], *known], help="which; all where none is named")
    for name in parser.parse_args().name or known:
        result = importlib.import_module(f"benchmarks.{name}").run()
        print(json.dumps(result))


if __name__ == "__main__":
    main()
