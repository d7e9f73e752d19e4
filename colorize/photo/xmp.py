"""The XMP packet of a result: the photo's own, with the mark that its color is computed."""

from __future__ import annotations

import json
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from colorize.photo.record import Made

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OURS = "urn:colorize:"
_PREFIXES = {"rdf": _RDF, "Iptc4xmpExt": _IPTC, "colorize": _OURS}
# IPTC's term for a picture of which a trained model made a part.
_COMPUTED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
# Properties that say something about the photo which no longer holds, or which the mark replaces.
_REPLACED = (
    ("http://ns.adobe.com/tiff/1.0/", "Orientation"),
    ("http://ns.adobe.com/exif/1.0/", "ColorSpace"),
    ("http://ns.adobe.com/photoshop/1.0/", "ColorMode"),
    ("http://ns.adobe.com/photoshop/1.0/", "ICCProfile"),
    *((_IPTC, name) for name in ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed")),
    *((_OURS, name) for name in ("source", "sha256", "settings")),
)
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'.encode()
_BEFORE = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_AFTER = '\n<?xpacket end="w"?>'


class DamagedXmpError(ValueError):
    """An XMP packet cannot be read. The photo is then read without it."""


def mark(packet: bytes | None, made: Made | None) -> bytes:
    """Add to a packet that color is computed, and by what; what is no longer true is taken out."""
    document = _parse(packet or _EMPTY)
    rdf = _rdf(document)
    about = ""
    for described in _descriptions(rdf):
        about = about or described.getAttributeNS(_RDF, "about")
        for uri, name in _REPLACED:
            if described.hasAttributeNS(uri, name):
                described.removeAttributeNS(uri, name)
            for child in described.getElementsByTagNameNS(uri, name):
                if child.parentNode is described:
                    described.removeChild(child)
    values = {"rdf:about": about, "Iptc4xmpExt:DigitalSourceType": _COMPUTED}
    if made is not None:
        values |= {
            "Iptc4xmpExt:AISystemUsed": f"colorize, model {made.settings['model']}",
            "Iptc4xmpExt:AISystemVersionUsed": made.settings["version"],
            "colorize:source": made.source_name,
            "colorize:sha256": made.sha256,
            "colorize:settings": json.dumps(made.settings),
        }
    description = document.createElementNS(_RDF, "rdf:Description")
    for prefix, uri in _PREFIXES.items():
        description.setAttribute(f"xmlns:{prefix}", uri)
    for name, value in values.items():
        # What XML cannot hold: control characters, and bytes of names in no encoding.
        text = "".join(c if c.isprintable() else "?" for c in value)
        description.setAttributeNS(_PREFIXES[name.partition(":")[0]], name, text)
    rdf.appendChild(description)
    return (_BEFORE + document.documentElement.toxml() + _AFTER).encode()


def find_mark(packet: bytes | None) -> Made | None:
    """Find what made the picture that a packet describes; None when it is no result."""
    if packet is None or _OURS.encode() not in packet:
        return None
    try:
        for described in _descriptions(_rdf(_parse(packet))):
            if described.hasAttributeNS(_OURS, "settings"):
                settings = json.loads(described.getAttributeNS(_OURS, "settings"))
                return Made(None, described.getAttributeNS(_OURS, "sha256"), settings)
    except ValueError:
        pass  # what other programs wrote about a result
    return None


def _parse(packet: bytes) -> Any:
    try:
        return minidom.parseString(packet.strip(b"\0 \r\n\t"))
    except (ExpatError, ValueError) as error:
        raise DamagedXmpError(str(error)) from error


def _rdf(document: Any) -> Any:
    nodes = document.getElementsByTagNameNS(_RDF, "RDF")
    if not nodes:
        raise DamagedXmpError("it has no rdf:RDF")
    return nodes[0]


def _descriptions(rdf: Any) -> list[Any]:
    nodes = rdf.getElementsByTagNameNS(_RDF, "Description")
    return [node for node in nodes if node.parentNode is rdf]
