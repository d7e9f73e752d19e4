"""The errors that the library raises on purpose: each says what was expected and what came."""

from __future__ import annotations


class ColorizeError(ValueError):
    """Base of every error that this library raises on purpose."""


class InputError(ColorizeError):
    """An argument has the wrong shape, type or range."""


class ImageError(ColorizeError):
    """A file or array cannot be read as an image."""


class DataError(ColorizeError):
    """A data set is missing, empty or does not look as expected."""


class MissingPriorError(DataError):
    """A prior was never counted or fetched."""


class CheckpointError(ColorizeError):
    """A checkpoint is missing, damaged, or does not fit the model."""


class MissingPackageError(CheckpointError):
    """Weights come with a package that is not installed."""


class TrainingError(ColorizeError):
    """Training cannot go on, for example because the loss is not finite."""


class NotFiniteError(InputError, TrainingError):
    """A model gives NaN or infinity: its training diverged, or its weights are damaged."""


class DownloadError(ColorizeError):
    """A data set or weights file could not be fetched, checked or unpacked."""
