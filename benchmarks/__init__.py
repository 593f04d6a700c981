"""Ours against the floor, in one run. Imported by nobody: ``python -m benchmarks NAME``."""
