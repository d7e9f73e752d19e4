"""Name the packages. All else is in pyproject.toml, where they cannot be both found and named."""

from setuptools import find_packages, setup

# CHECKPOINTS is installed as colorize.trained, PRECALCULATED as colorize.precalculated.
ALONG = ["colorize.trained", "colorize.trained.ablation", "colorize.precalculated"]
setup(packages=[*find_packages(include=["colorize", "colorize.*"]), *ALONG])
