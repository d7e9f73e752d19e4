"""What the app does when something in it is used: the visitor's session in, what to show out."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from colorize.app.hint_list import parse_color
from colorize.app.session import Adjustments, Session, load_net
from colorize.data.bundled import bundled_photographs
from colorize.errors import ColorizeError
from colorize.models import BinHead

P = ParamSpec("P")
R = TypeVar("R")

COMPARE, HINTS, SAMPLES, UNCERTAINTY = "compare", "hints", "samples", "uncertainty"
SHEET = "sheet"
DEFAULT_RESULT = "The result is the model's default prediction."


def in_words(callback: Callable[P, R]) -> Callable[P, R]:
    """Show an error in the browser in its own words, until it is closed."""

    @functools.wraps(callback)
    def wrapper(*args: P.args, **options: P.kwargs) -> R:
        try:
            return callback(*args, **options)
        except (ColorizeError, OSError, MemoryError) as error:
            words = html.escape(str(error) or "There is not enough memory for this photo.")
            raise gr.Error(words, duration=None, print_exception=False) from error

    return wrapper


def close(session: Session) -> tuple[str, Any]:
    """Forget the photo and hide its results, so that they are not taken for the next one's."""
    session.close_photo()
    return "", gr.update(visible=False)


@in_words
def open_upload(session: Session, upload: dict[str, Any]) -> tuple[Any, ...]:
    """Read an uploaded photo and run the net; gives what ``_open`` gives."""
    path = Path(upload["path"])
    return _open(session, path, upload.get("orig_name") or path.name)


@in_words
def open_example(session: Session, event: gr.SelectData) -> tuple[Any, ...]:
    """Read the example that was clicked and run the net; gives what ``_open`` gives."""
    path = [*bundled_photographs().values()][event.index]
    return _open(session, path, path.name, as_grey=True)


def _open(session: Session, path: Path, name: str, *, as_grey: bool = False) -> tuple[Any, ...]:
    """Give what is said about the photo, the results, the temperature and the result chosen."""
    session.open_photo(path, name, as_grey=as_grey)
    session.predict()
    photo = session.opened.photo
    height, width = photo.rgb.shape[:2]
    about = [f"**{html.escape(name)}**, {width} × {height} pixels", *photo.notes]
    shown = gr.update(visible=True)
    return ". ".join(about), shown, temperature_slider(session), DEFAULT_RESULT


@in_words
def choose_model(session: Session, name: str) -> tuple[Any, str]:
    """Change the model; a model that cannot be loaded leaves the one before."""
    load_net(name)
    session.model, session.sample = name, None
    return temperature_slider(session), DEFAULT_RESULT


def temperature_slider(session: Session) -> Any:
    """Set the slider to the model's own temperature; off where the model takes none."""
    head = load_net(session.model).output
    if not isinstance(head, BinHead):
        return gr.update(interactive=False)
    return gr.update(interactive=True, value=head.temperature, maximum=max(1.0, head.temperature))


@in_words
def show(session: Session, temperature: float, saturation: float) -> list[Any]:
    """Give what the open tab shows; the others wait until they are opened.

    Returns:
        For the pictures of comparison and hints, the list of hints, the samples, the uncertainty,
        the sheet.
    """
    adjustments = Adjustments(temperature, saturation)
    compared = marked = listed = samples = uncertainty = sheet = gr.skip()
    if session.tab == COMPARE:
        compared = (session.opened.shown, session.colored(adjustments))
    elif session.tab == HINTS:
        marked = session.marked(adjustments)
        choices = [(label, i) for i, label in enumerate(session.hints.labels())]
        listed = gr.update(choices=choices, value=session.hints.selected, visible=bool(choices))
    elif session.tab == SAMPLES:
        labels = ["1, most likely", "2", "3", "4"]
        samples = [*zip(session.samples(adjustments), labels, strict=True)]
    elif session.tab == UNCERTAINTY:
        uncertainty = session.uncertainty()
    else:
        sheet = session.sheet()
    return [compared, marked, listed, samples, uncertainty, sheet]


def open_tab(name: str, session: Session) -> None:
    """Remember which tab is open."""
    session.tab = name


@in_words
def add_hint(session: Session, color: str, event: gr.SelectData) -> None:
    """Give the clicked point the color of the picker."""
    x, y = event.index
    session.add_hint(x, y, parse_color(color))


def recolor_hint(session: Session, color: str) -> None:
    """Give the selected hint the color of the picker."""
    session.hints.recolor(parse_color(color))


def select_hint(session: Session, number: int) -> None:
    """Select a hint of the list."""
    session.hints.selected = number


def remove_hint(session: Session) -> None:
    """Remove the selected hint."""
    session.hints.remove()


def undo_hint(session: Session) -> None:
    """Take back the last change of the hints."""
    session.hints.undo()


def clear_hints(session: Session) -> None:
    """Remove all hints."""
    session.hints.clear()


def choose_sample(session: Session, event: gr.SelectData) -> str:
    """Take the clicked sample as the result."""
    session.sample = event.index
    return f"The result is now sample {event.index + 1}."


def draw_others(session: Session) -> str:
    """Draw four others; none of them is chosen yet."""
    session.seed, session.sample = session.seed + 1, None
    return DEFAULT_RESULT


def unchoose_sample(session: Session) -> str:
    """Go back to the model's default prediction."""
    session.sample = None
    return DEFAULT_RESULT


@in_words
def download(session: Session, temperature: float, saturation: float) -> str:
    """Write the result at full size; its path."""
    path, notes = session.save(Adjustments(temperature, saturation))
    for note in notes:
        gr.Warning(html.escape(note))
    return str(path)
