"""The variables as `env` takes them."""

from benchmarks.older_cpu import VARIABLES

print(" ".join(f"{name}={value}" for name, value in VARIABLES.items()))
