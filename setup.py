"""Name the packages. All else is in pyproject.toml, where they cannot be both found and named."""

from setuptools import find_packages, setup

# Weights that are committed come along in the wheel: CHECKPOINTS is installed as colorize.trained.
setup(packages=[*find_packages(include=["colorize", "colorize.*"]), "colorize.trained"])
