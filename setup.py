"""The packages. All else is in pyproject.toml, which cannot name found and other packages at once."""

from setuptools import find_packages, setup

# Weights that are committed come along in the wheel: CHECKPOINTS is installed as colorize.trained.
setup(packages=[*find_packages(include=["colorize", "colorize.*"]), "colorize.trained"])
