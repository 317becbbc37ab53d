"""What the tags of a TIFF file say of its pixels: their size, the time between pages, and which grey a number shows.

Read are the tags of ImageJ, OME, DigitalMicrograph, TVIPS, Olympus SIS, FEI (as text, and as the XML of Velox) and
Zeiss. The resolution of a plain TIFF is that of a print, and no pixel size; nor are centimetres and inches in a file of
ImageJ, taken from a print.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import numpy as np

__all__ = ["TiffSteps", "channel_names", "shown_greys", "tiff_steps"]

Step = tuple[float | None, str]
_UNKNOWN: Final[Step] = (None, "")
#: Units in which ImageJ gives the resolution of a print.
_PRINTED: Final = ("inch", "inches", "in", "cm", "pixel", "pixels")
#: Tags of DigitalMicrograph for the third axis, and for x and y: unit and step. It leaves the unit of y away.
_DM_TIME, _DM_PIXELS = (65005, 65011), (65003, 65009, 65010)
#: Tags in which programs of FEI and Thermo Fisher keep XML: their own, and the description of the image.
_XML_TAGS: Final = (34683, 34682, 34680, 270)
#: What the size of a pixel is called there, and its parts along x and y.
_XML_PIXEL: Final = ("pixelsize", "pixelssize")
_XML_SIDES: Final = {"x": ("x", "width"), "y": ("y", "height")}
#: Photometric interpretations of the format.
_WHITE_IS_ZERO, _PALETTE = 0, 3


class TiffSteps(NamedTuple):
    """Step and unit along y, x and time; a step of None is unknown."""

    y: Step = _UNKNOWN
    x: Step = _UNKNOWN
    time: Step = _UNKNOWN


def tiff_steps(tif: Any, number: int, page: Any) -> TiffSteps:
    """Return the steps that the program which wrote a file gives for its series `number`, `page` being its first."""
    if tif.is_ome:
        return _of_ome(tif.ome_metadata, number)
    if tif.is_imagej:
        return _of_imagej(tif.imagej_metadata or {}, page)
    for read in (_of_digital_micrograph, _of_tvips, _of_sis, _of_xml, _of_fei, _of_zeiss):
        steps = read(tif, page)
        if steps is not None:
            return steps
    return TiffSteps()


def _of_imagej(about: dict[str, Any], page: Any) -> TiffSteps:
    """Return the steps of ImageJ; its ``fps`` is the rate at which a stack plays, and no time between frames."""
    unit = str(about.get("unit", ""))
    x, y = (_resolution(page, tag) for tag in ("XResolution", "YResolution"))
    interval = about.get("finterval")
    printed = unit.strip().casefold() in _PRINTED
    return TiffSteps(
        _UNKNOWN if printed else (y, str(about.get("yunit", unit))),
        _UNKNOWN if printed else (x, unit),
        (None if interval is None else float(interval), str(about.get("tunit", "s"))),
    )


def _resolution(page: Any, tag: str) -> float | None:
    """Return the length of a pixel from a tag that holds pixels per unit as a fraction."""
    if tag not in page.tags:
        return None
    above, below = page.tags[tag].value
    return below / above if above else None


def _of_ome(xml: str, number: int) -> TiffSteps:
    pixels = _ome_pixels(xml, number)
    about = {} if pixels is None else pixels.attrib

    def step(key: str, default: str) -> Step:
        return (float(about[key]) if key in about else None), about.get(f"{key}Unit", default)

    return TiffSteps(step("PhysicalSizeY", "µm"), step("PhysicalSizeX", "µm"), step("TimeIncrement", "s"))


def _ome_pixels(xml: str, number: int) -> ElementTree.Element | None:
    pixels = [element for element in ElementTree.fromstring(xml).iter() if element.tag.endswith("}Pixels")]
    return pixels[number] if number < len(pixels) else None


def _of_digital_micrograph(tif: Any, page: Any) -> TiffSteps | None:
    values = [_tag(page, tag) for tag in _DM_PIXELS]
    if any(value is None for value in values):
        return None
    unit, x, y = values
    unit_of_time, time = (_tag(page, tag) for tag in _DM_TIME)
    period = _UNKNOWN if unit_of_time is None or time is None else (float(time), str(unit_of_time))
    return TiffSteps((float(y), str(unit)), (float(x), str(unit)), period)


def _tag(page: Any, number: int) -> Any:
    """Return the value of a tag that RosettaSciIO may have written under its number as a name."""
    for key in (number, str(number)):
        if key in page.tags:
            return page.tags[key].value
    return None


def _of_tvips(tif: Any, page: Any) -> TiffSteps | None:
    """Return the steps of a file of EM-MENU, in nm."""
    about = page.tags["TVIPS"].value if tif.is_tvips and "TVIPS" in page.tags else None
    if not isinstance(about, dict) or "PixelSizeX" not in about:
        return None
    return TiffSteps((about["PixelSizeY"], "nm"), (about["PixelSizeX"], "nm"))


def _of_sis(tif: Any, page: Any) -> TiffSteps | None:
    about = tif.sis_metadata if tif.is_sis else None
    if not about or "pixelsizex" not in about:
        return None
    return TiffSteps((about["pixelsizey"], "m"), (about["pixelsizex"], "m"))


def _of_xml(tif: Any, page: Any) -> TiffSteps | None:
    """Return the steps of a file of Velox, and of other programs that write the same XML: ``PixelSize``, in metres."""
    for number in _XML_TAGS:
        for element in _xml_elements(tif, page, number):
            if _local_name(element) not in _XML_PIXEL:
                continue
            parts = {_local_name(part): part for part in element}
            steps = {}
            for axis, names in _XML_SIDES.items():
                part = next((parts[name] for name in names if name in parts), None)
                steps[axis] = _UNKNOWN if part is None else (_number(part.text), part.get("unit", "m"))
            if steps["x"][0] and steps["y"][0]:
                return TiffSteps(steps["y"], steps["x"])
    return None


def _xml_elements(tif: Any, page: Any, number: int) -> list[ElementTree.Element]:
    """Return all elements of the XML in a tag; none where there is no tag, or no XML in it."""
    if number not in page.tags:
        return []
    tag = page.tags[number]
    content = tag.value
    if not isinstance(content, str | bytes):  # taken for the text of FEI
        tif.filehandle.seek(tag.valueoffset)
        content = tif.filehandle.read(tag.valuebytecount)
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    begin, end = re.search(r"<[?A-Za-z]", text), text.rfind(">")
    if begin is None or end < begin.start():
        return []
    body = re.sub(r"^<\?xml[^>]*\?>", "", text[begin.start() : end + 1])  # its encoding is not that of the text
    try:
        return list(ElementTree.fromstring(body).iter())
    except ElementTree.ParseError:
        return []


def _local_name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2].casefold()


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _of_fei(tif: Any, page: Any) -> TiffSteps | None:
    """Return the steps of a file of FEI: the pixel of the scan, or else the width of the field over its pixels."""
    about = tif.fei_metadata if tif.is_fei else None
    if not about:
        return None
    scan = about.get("Scan", {})
    if scan.get("PixelWidth") and scan.get("PixelHeight"):
        return TiffSteps((scan["PixelHeight"], "m"), (scan["PixelWidth"], "m"))
    for beam in ("EBeam", "IBeam", "IRBeam", "EScan", "IScan"):
        field, image = about.get(beam, {}), about.get("Image", {})
        sizes = (field.get("VFW"), image.get("ResolutionY"), field.get("HFW"), image.get("ResolutionX"))
        if all(isinstance(size, int | float) and size > 0 for size in sizes):
            return TiffSteps((sizes[0] / sizes[1], "m"), (sizes[2] / sizes[3], "m"))
    return TiffSteps()


def _of_zeiss(tif: Any, page: Any) -> TiffSteps | None:
    about = (tif.sem_metadata or {}) if tif.is_sem else {}
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        if key in about:
            _, size, unit = about[key]
            return TiffSteps((size, str(unit)), (size, str(unit)))
    return None


def channel_names(tif: Any, number: int, count: int) -> list[str]:
    """Return what the `count` channels of a series are called: by OME, or else ``channel 0`` and so on."""
    names = [f"channel {c}" for c in range(count)]
    pixels = _ome_pixels(tif.ome_metadata, number) if tif.is_ome else None
    if pixels is not None:
        given = [channel.get("Name", "").strip() for channel in pixels.iter() if channel.tag.endswith("}Channel")]
        if len(given) == count and len({*given}) == count:
            names = [name or names[c] for c, name in enumerate(given)]
    return names


def shown_greys(tif: Any, page: Any) -> np.ndarray | None:
    """Return what each number of a page shows, None where that is the number itself.

    Parameters
    ----------
    tif, page : TiffFile, TiffPage

    Returns
    -------
    array, shape (levels,) or (levels, 3), or None
        A palette of greys, or of colours (red, green, blue); numbers of which 0 is white, turned round. ImageJ uses
        both for its look-up tables, which are for the screen and leave the values alone, so that None is returned.
    """
    if tif.is_imagej or page.samplesperpixel != 1:
        return None
    if page.photometric == _WHITE_IS_ZERO and page.bitspersample in (1, 8, 16):
        kind = np.uint16 if page.bitspersample == 16 else np.uint8
        return np.arange(2**page.bitspersample, dtype=np.int64)[::-1].astype(kind)
    if page.photometric != _PALETTE or getattr(page, "colormap", None) is None:
        return None
    palette = np.asarray(page.colormap).T
    if palette.max(initial=0) > 255:  # 16 bits, as the format has it; some programs write 8
        palette = palette // 257 if not (palette % 257).any() else palette
    palette = palette.astype(np.uint8 if palette.max(initial=0) <= 255 else np.uint16)
    grey = bool((palette == palette[:, :1]).all())
    return np.ascontiguousarray(palette[:, 0] if grey else palette)
