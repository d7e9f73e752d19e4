"""Write color images of 16 bits a channel as PNG and TIFF, which Pillow does not."""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffTags
from PIL.PngImagePlugin import PngInfo, putchunk
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_ROWS = 64
_UP = 2  # the filter of PNG that takes the difference to the row above


def save_png(
    pixels: np.ndarray,
    file: BinaryIO,
    *,
    pnginfo: PngInfo,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
) -> None:
    """Write (H, W, 3) or (H, W, 4) uint16 as PNG; options as in Pillow's ``save``."""
    height, width, channels = pixels.shape
    kind = 2 if channels == 3 else 6
    file.write(b"\x89PNG\r\n\x1a\n")
    putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    if icc_profile:
        putchunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if dpi:
        metres = (round(value / 0.0254) for value in dpi)
        putchunk(file, b"pHYs", struct.pack(">IIB", *metres, 1))
    if exif:
        putchunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    for chunk in pnginfo.chunks:
        putchunk(file, chunk[0], chunk[1])
    # Runs only: of the differences between rows this makes files as small in a quarter of the time.
    compressor = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    above = np.zeros((1, 2 * width * channels), np.uint8)
    for first in range(0, height, _ROWS):
        band = pixels[first : first + _ROWS].astype(">u2").view(np.uint8)
        rows = np.concatenate((above, band.reshape(len(band), -1)))
        filtered = np.full((len(band), rows.shape[1] + 1), _UP, np.uint8)
        filtered[:, 1:] = rows[1:] - rows[:-1]
        above = rows[-1:]
        putchunk(file, b"IDAT", compressor.compress(filtered.tobytes()))
    putchunk(file, b"IDAT", compressor.flush())
    putchunk(file, b"IEND", b"")


def save_tiff(
    pixels: np.ndarray,
    file: BinaryIO,
    *,
    exif: Image.Exif,
    dpi: tuple[float, float] | None = None,
    icc_profile: bytes | None = None,
) -> None:
    """Write (H, W, 3) or (H, W, 4) uint16 as TIFF; options as in Pillow's ``save``."""
    height, width, channels = pixels.shape
    tags: dict[int, Any] = {
        ExifTags.Base.ImageWidth: width,
        ExifTags.Base.ImageLength: height,
        ExifTags.Base.BitsPerSample: (16,) * channels,
        ExifTags.Base.Compression: 1,
        ExifTags.Base.PhotometricInterpretation: 2,
        ExifTags.Base.SamplesPerPixel: channels,
        ExifTags.Base.RowsPerStrip: height,
        ExifTags.Base.StripOffsets: 0,  # from the end of the directory
        ExifTags.Base.StripByteCounts: pixels.nbytes,
        ExifTags.Base.PlanarConfiguration: 1,
    }
    if channels == 4:
        tags[ExifTags.Base.ExtraSamples] = 2  # alpha that the color was not multiplied by
    if dpi:
        tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution] = dpi
        tags[ExifTags.Base.ResolutionUnit] = 2
    if icc_profile:
        tags[ExifTags.Base.InterColorProfile] = icc_profile
    directory = ImageFileDirectory_v2()
    for tag in exif:
        directory[tag] = exif.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else exif[tag]
    for tag, value in tags.items():
        directory[tag] = value
    for tag in (ExifTags.Base.StripOffsets, ExifTags.Base.StripByteCounts):
        directory.tagtype[tag] = TiffTags.LONG
    directory.save(file)
    for first in range(0, height, _ROWS):
        file.write(pixels[first : first + _ROWS].astype("<u2").tobytes())
