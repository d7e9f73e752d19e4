"""Start the app in a notebook or a shell."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from colorize.checks import checks_flags, require_whole
from colorize.errors import InputError
from colorize.extras import import_extra

if TYPE_CHECKING:
    import gradio

_LARGEST_UPLOAD = "200mb"
_INLINE_HEIGHT = 1000  # pixels, in a notebook
_LAST_PORT = 65535


@checks_flags
def app(*, host: str = "127.0.0.1", port: int | None = None, share: bool = False) -> None:
    """Start the app that colors photos in the browser.

    In a notebook it appears below the cell and the call returns at once; elsewhere the address is
    printed and the call returns after Ctrl-C. It needs the extra ``app`` and no internet.

    Args:
        host: the address to listen on. "0.0.0.0" lets other machines of the network in.
        port: None for the first free one from 7860 on.
        share: whether to make a public link through Gradio's servers. It needs the internet.
    """
    if not isinstance(host, str):
        raise InputError(f"host: expected an address such as 127.0.0.1, got {host!r:.80}")
    if port is not None and require_whole(port, "port", 1) > _LAST_PORT:
        raise InputError(f"port: expected a number of 1 to {_LAST_PORT}, got {port}")
    page = start(server_name=host, server_port=port, share=share)
    sys.stdout.write(f"The app runs at {page.local_url}\n")
    if not hasattr(sys, "ps1"):  # as in a notebook
        sys.stdout.write("Ctrl-C ends it.\n")
        sys.stdout.flush()
        page.block_thread()


def start(**options: Any) -> gradio.Blocks:
    """Build and launch the app with options of Gradio's ``launch``."""
    import_extra("gradio", "app")

    from colorize.app.look import LOOK
    from colorize.app.page import make_page

    if "GRADIO_TEMP_DIR" not in os.environ:
        # The default is one folder for all users and apps, and an app that ends deletes in it.
        os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="colorize-app-")
        atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)
    page = make_page()
    page.launch(
        max_file_size=_LARGEST_UPLOAD,
        show_error=True,
        ssr_mode=False,  # a second server, by Node.js, where that is installed
        run_history=False,
        quiet=True,  # it advises a public link
        prevent_thread_lock=True,
        footer_links=[],
        height=_INLINE_HEIGHT,
        **LOOK,
        **options,
    )
    return page
