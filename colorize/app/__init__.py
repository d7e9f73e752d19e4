"""The app: ``colorize.app()`` in a notebook, ``python -m colorize app`` in a shell."""

from colorize.app.launch import app as app
