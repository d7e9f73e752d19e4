"""Style of the app, and the script of its page."""

from __future__ import annotations

from typing import Any

import gradio as gr

# A gallery takes 450 pixels at least, and makes its pictures square.
_CSS = """
.gradio-container {max-width: 1200px !important; margin: auto}
.grid-wrap {min-height: 0 !important; max-height: none !important}
#examples .grid-container {
  grid-template-columns: repeat(4, minmax(0, 1fr)) !important; grid-auto-rows: auto !important
}
#examples .thumbnail-item {width: auto !important; min-width: 0 !important; height: auto}
#marked img, #uncertainty img {max-height: 560px; width: auto; margin: auto}
#samples .thumbnail-item {aspect-ratio: auto !important; height: auto !important}
#model input {padding-right: 28px; text-overflow: ellipsis}
#file {display: none}
"""
# Gives a pasted image to the upload, as if it had been chosen there.
PASTE = """() => document.addEventListener('paste', event => {
  const input = document.querySelector('#upload input[type=file]')
  if (!input || !event.clipboardData.files.length) return
  input.files = event.clipboardData.files
  input.dispatchEvent(new Event('change', {bubbles: true}))
})"""
# Errors stay until they are closed, over what is below them; the next photo closes them.
CLOSE_ERRORS = "() => document.querySelectorAll('.toast-close').forEach(cross => cross.click())"
LOOK: dict[str, Any] = {
    # Fonts of the system: nothing is fetched.
    "theme": gr.themes.Default(
        font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
    ).set(block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300"),
    "css": _CSS,
}
