"""Fetches data sets, prior and published weights: ``DOWNLOADER.download``."""  # noqa: N999
