"""The command sheet: one photo with many settings on one labelled picture."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from colorize.cli.console import put
from colorize.errors import InputError


def sheet(arguments: list[str]) -> int:
    """Write a contact sheet over sizes, temperatures and samples."""
    parser = argparse.ArgumentParser(
        prog="colorize sheet",
        description="Color a photo with many settings, side by side on one labelled picture.",
    )
    add = parser.add_argument
    add("photo", type=Path, help="image file")
    add("-o", "--output", type=Path, help="picture to write; default: PHOTO-sheet.png")
    add("--overwrite", action="store_true", help="replace an existing file")
    add("--model", default="photo", help="name (see colorize models) or checkpoint")
    add("--weights", type=Path, help="file with the weights of eccv16 or siggraph17")
    add("--sizes", type=int, nargs="+", help="short sides of the network's input in pixels")
    add("--temperatures", type=float, nargs="+", help="lower is more vivid, higher is paler")
    add("--samples", type=int, default=4, help="number of samples; default: 4")
    add("--seed", type=int, default=0, help="random seed of the samples; default: 0")
    add("--device", help="cuda, mps or cpu; default: the first that is available")
    options = parser.parse_args(arguments)
    photo = options.photo
    if not photo.is_file():
        raise InputError(f"{photo}: {'expected one photo' if photo.is_dir() else 'no such file'}")
    output = options.output or photo.with_name(f"{photo.stem}-sheet.png")
    if output.is_dir():
        raise InputError(f"-o: expected the name of a picture, got the folder {output}")
    if os.path.lexists(output) and (not options.overwrite or output.samefile(photo)):
        raise InputError(f"{output} is there already; --overwrite replaces a sheet, not the photo")

    from colorize import storage
    from colorize.models.hub import find_device, load_model
    from colorize.photo.files import Photo, write_photo
    from colorize.photo.formats import find_container
    from colorize.photo.record import Made
    from colorize.photo.sheet import sheet as make_sheet
    from colorize.version import __version__

    find_container(output.suffix)
    model = load_model(options.model, weights=options.weights).to(find_device(options.device))
    rgb = make_sheet(
        photo,
        model,
        sizes=options.sizes,
        temperatures=options.temperatures,
        samples=options.samples,
        seed=options.seed,
    )
    # Marked as a result, so that it is not colored with the photos beside it.
    settings = {"sheet": True, "model": Path(options.model).stem, "version": __version__}
    made = Made(photo.name, storage.sha256_file(photo), settings)
    write_photo(rgb, Photo(rgb), output, output.suffix, made=made)
    return 0 if put(str(output)) else 1
