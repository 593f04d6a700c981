"""Imports without typeguard's checks."""

import subprocess
import sys

IMPORTED = """
import typeguard
from serving.unchecked import unchecked
before = typeguard.typechecked
with unchecked():
    from feast import FeatureView
assert typeguard.typechecked is before
try:
    FeatureView(name=3, source=None)
except Exception as error:
    print(type(error).__name__)
"""


def test_feast_is_imported_without_them_and_others_with_them() -> None:
    checked = IMPORTED.replace("with unchecked():", "if True:")
    said = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        for code in (IMPORTED, checked)
    ]
    assert said[0][-1:] != ["TypeCheckError"]
    assert said[1][-1:] == ["TypeCheckError"]
