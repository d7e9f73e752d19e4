"""How the app looks, and which of its parts starts what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import gradio as gr
from PIL import Image

from colorize.app import callbacks
from colorize.app.look import CLOSE_ERRORS, PASTE
from colorize.app.session import Session
from colorize.data.bundled import bundled_photographs
from colorize.errors import DataError
from colorize.experiments.catalog import EXPERIMENTS
from colorize.models.hub import list_models
from colorize.photo.prediction import DEFAULT_MODEL

_THUMBNAIL = 256
_HINT_COLOR = "#b03020"
# Files of a visitor are deleted an hour after they were made; it is looked every ten minutes.
_DELETE_CACHE = (600, 3600)
_SENTENCES = {
    "photo": "for photos of all kinds.",
    "joint-ncd": "Colors fruit and vegetables, and names them.",
    "eccv16": "The net that the authors of Colorful Image Colorization published.",
    "siggraph17": "The net that its authors published for coloring with hints.",
}


def make_page() -> gr.Blocks:
    """Build the app, not started yet."""
    page = gr.Blocks(title="Color a photo", analytics_enabled=False, delete_cache=_DELETE_CACHE)
    with page:
        gr.Markdown(
            "# Color a photo\nOpen a photo, check its colors, correct them, download the result. "
            "The photo stays on the machine that runs this app."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                parts = _make_inputs()
            with gr.Column(scale=2, min_width=320):
                parts |= _make_results()
        parts["session"] = gr.State(lambda: Session())
        _connect(SimpleNamespace(**parts))
        page.load(None, None, None, js=PASTE)
    return page.queue()


def model_choices() -> list[tuple[str, str]]:
    """List (what is said, name) of every model, ``photo`` first."""
    names = sorted({DEFAULT_MODEL, *list_models()}, key=lambda name: (name != DEFAULT_MODEL, name))
    choices = []
    for name in names:
        # Experiments test a claim; the results may have refuted it.
        claim = f"Claim: {EXPERIMENTS[name].claim}" if name in EXPERIMENTS else "Your own model."
        group = "" if name == DEFAULT_MODEL else "research: "
        choices.append((f"{group}{name} – {_SENTENCES.get(name, claim)}", name))
    return choices


def _make_inputs() -> dict[str, Any]:
    upload = gr.Image(
        label="Your photo",
        placeholder="Drop or paste (Ctrl-V) a photo, or click to choose one. Up to 200 MB",
        sources=["upload"],
        type="filepath",
        height=200,
        buttons=[],
        elem_id="upload",
    )
    thumbnails = _thumbnails()
    gr.Markdown("Or click an example (a color photo turned grey):", visible=bool(thumbnails))
    examples = gr.Gallery(
        value=thumbnails,
        show_label=False,
        columns=4,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        visible=bool(thumbnails),
        elem_id="examples",
    )
    model = gr.Dropdown(
        choices=model_choices(),
        value=DEFAULT_MODEL,
        label="Model",
        info="The network that predicts the colors. The research models were trained on small "
        "pictures of few kinds to test a claim; use them for comparison.",
        elem_id="model",
    )
    return {"upload": upload, "examples": examples, "model": model}


def _make_results() -> dict[str, Any]:
    parts: dict[str, Any] = {
        "about": gr.Markdown(
            "Open a photo, or click an example. The result appears here.", elem_id="about"
        )
    }
    with gr.Column(visible=False, elem_id="results") as parts["results"]:
        with gr.Tabs(overflow_behavior="wrap"):
            parts["tabs"] = _make_tabs(parts)
        with gr.Row():
            parts["temperature"] = gr.Slider(
                0,
                1,
                step=0.01,
                label="Temperature",
                info="0: vivid. 1: paler, closer to grey.",
                elem_id="temperature",
            )
            parts["saturation"] = gr.Slider(
                0,
                2,
                value=1,
                step=0.05,
                label="Saturation",
                info="0: grey. 1: as predicted.",
                elem_id="saturation",
            )
        parts["download"] = gr.Button(
            "Download at full size", variant="primary", elem_id="download"
        )
        gr.Markdown("The file has the photo's own size and keeps its metadata.")
        parts["file"] = gr.DownloadButton(elem_id="file")
    return parts


def _make_tabs(parts: dict[str, Any]) -> dict[str, gr.Tab]:
    """Make the tabs and add what is in them to ``parts``."""
    tabs = {}
    with gr.Tab("Before and after") as tabs[callbacks.COMPARE]:
        parts["compared"] = gr.ImageSlider(
            label="Before | after: drag the line",
            format="jpeg",
            max_height=560,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="compared",
        )
    with gr.Tab("Correct colors") as tabs[callbacks.HINTS]:
        _make_hints(parts)
    with gr.Tab("Alternatives") as tabs[callbacks.SAMPLES]:
        gr.Markdown(
            "A grey photo does not show its true colors. These are four colorings that the model "
            "finds possible. Click one to use it as the result."
        )
        parts["samples"] = gr.Gallery(
            show_label=False,
            columns=2,
            format="jpeg",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="samples",
        )
        parts["chosen"] = gr.Markdown(callbacks.DEFAULT_RESULT, elem_id="chosen")
        with gr.Row():
            parts["others"] = gr.Button("Draw four others")
            parts["own"] = gr.Button("Back to the default prediction")
    with gr.Tab("Uncertainty") as tabs[callbacks.UNCERTAINTY]:
        parts["uncertainty"] = gr.Image(
            label="Dark: the model is certain of the color. Yellow: many colors are possible",
            format="jpeg",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="uncertainty",
        )
    with gr.Tab("Compare settings") as tabs[callbacks.SHEET]:
        gr.Markdown(
            "If the colors are wrong, look for a better temperature here. This takes longer."
        )
        parts["sheet"] = gr.Image(
            show_label=False,
            format="jpeg",
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="sheet",
        )
    return tabs


def _make_hints(parts: dict[str, Any]) -> None:
    gr.Markdown(
        "Click a point of the picture, then choose its color. The color spreads over the region "
        "around the point, up to its edges."
    )
    parts["marked"] = gr.Image(
        show_label=False, format="jpeg", interactive=False, buttons=[], elem_id="marked"
    )
    with gr.Row():
        parts["color"] = gr.ColorPicker(
            _HINT_COLOR,
            label="Color",
            info="Of the selected point, and of the next one.",
            elem_id="color",
        )
        parts["listed"] = gr.Radio(
            label="Points",
            info="Select one to change its color or to remove it.",
            visible=False,
            elem_id="listed",
        )
    with gr.Row():
        parts["remove"] = gr.Button("Remove point", size="sm", min_width=90)
        parts["undo"] = gr.Button("Undo", size="sm", min_width=90)
        parts["clear"] = gr.Button("Remove all", size="sm", min_width=90)


def _thumbnails() -> list[Image.Image]:
    """Make small grey copies of the bundled photographs; none where a package is missing."""
    try:
        files = bundled_photographs()
    except DataError:
        return []
    images = [Image.open(path).convert("L") for path in files.values()]
    for image in images:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return images


def _connect(p: SimpleNamespace) -> None:
    adjusted = [p.session, p.temperature, p.saturation]
    pictures = [p.compared, p.marked, p.listed, p.samples, p.uncertainty, p.sheet]
    show = partial(_on, fn=callbacks.show, inputs=adjusted, outputs=pictures)

    about_photo = [p.about, p.results, p.temperature, p.chosen]
    for event in (p.upload.upload, p.examples.select):
        event(None, None, None, js=CLOSE_ERRORS)
    closed = _on(p.upload.upload, callbacks.close, [p.session], [p.about, p.results])
    uploaded = _on(
        closed.success,
        callbacks.open_upload,
        [p.session, p.upload],
        about_photo,
        preprocess=False,
    )
    clicked = _on(p.examples.select, callbacks.open_example, [p.session], about_photo)
    for opened in (uploaded, clicked):
        show(opened.success, scroll_to_output=True)
        # Ready for the next photo; what was read is shown in the results.
        # In the browser, Gradio's "then" does not follow a failure.
        for after in (opened.success, opened.failure):
            after(lambda: (None, gr.update(selected_index=None)), None, [p.upload, p.examples])

    chosen = _on(
        p.model.input, callbacks.choose_model, [p.session, p.model], [p.temperature, p.chosen]
    )
    show(chosen.success)
    _on(chosen.failure, lambda session: session.model, [p.session], [p.model])
    for slider in (p.temperature, p.saturation):
        show(slider.input, trigger_mode="always_last", show_progress="hidden")
    for name, tab in p.tabs.items():
        show(_on(tab.select, partial(callbacks.open_tab, name), [p.session], None).success)
    _connect_edits(p, show)

    made = _on(p.download.click, callbacks.download, adjusted, [p.file], show_progress_on=p.about)
    made.success(None, None, None, js="() => document.querySelector('#file').click()")


def _connect_edits(p: SimpleNamespace, show: Callable[..., Any]) -> None:
    """Connect what changes hints or chooses a sample."""
    # They change what other tabs show.
    choices = (callbacks.choose_sample, callbacks.unchoose_sample)
    for event, edit, given, told in (
        (p.marked.select, callbacks.add_hint, [p.color], None),
        (p.color.release, callbacks.recolor_hint, [p.color], None),
        (p.listed.input, callbacks.select_hint, [p.listed], None),
        (p.remove.click, callbacks.remove_hint, [], None),
        (p.undo.click, callbacks.undo_hint, [], None),
        (p.clear.click, callbacks.clear_hints, [], None),
        (p.samples.select, callbacks.choose_sample, [], [p.chosen]),
        (p.others.click, callbacks.draw_others, [], [p.chosen]),
        (p.own.click, callbacks.unchoose_sample, [], [p.chosen]),
    ):
        edited = _on(event, edit, [p.session, *given], told)
        if edit not in choices:
            show(edited.success, show_progress="minimal")


def _on(
    event: Callable[..., Any],
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any] | None,
    **options: Any,
) -> Any:
    """Connect an event; one runs at a time, so that no two change one session or load one net."""
    return event(fn, inputs, outputs, concurrency_id="net", concurrency_limit=1, **options)
