"""The command app: color photos in the browser."""

from __future__ import annotations

import argparse
from functools import partial

from colorize.cli.options import read_number


def app(arguments: list[str]) -> int:
    """Start the app and serve it until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="colorize app", description="Color photos in the browser, on this machine."
    )
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0: all machines of the network",
    )
    port = partial(read_number, int, 1, 2**16, "a number of 1 to 65535")
    add("--port", type=port, help="default: the first free port from 7860 on")
    add("--share", action="store_true", help="make a public link through Gradio's servers")
    options = parser.parse_args(arguments)

    from colorize.app.launch import app as launch

    launch(host=options.host, port=options.port, share=options.share)
    return 0
