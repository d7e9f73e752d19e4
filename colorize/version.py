"""The version of the library, which results and checkpoints record."""

__version__ = "0.1.0"
