"""Pictures in whatever form a program has them."""

from __future__ import annotations

from aperf._errors import ConfigurationError

from ._checks import integer

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeAlias

    #: Its memory, that the program still owns; width, height and bytes of a pixel.
    Image: TypeAlias = tuple[memoryview, int, int, int]

__all__ = ("MAX_PIXELS", "measured")

#: What a viewer shows is smaller still.
MAX_PIXELS = 640 * 360
_MAX_SIDE = 65_532


def measured(image: object, width: int | None, height: int | None) -> Image:
    """Return the memory and the size of a picture, see `frame_image`.

    Raises:
        TypeError: it is no picture.
        ConfigurationError: its size is not accepted, or not the one that it has.
    """
    try:
        view = memoryview(image)  # type: ignore[arg-type]
    except TypeError:
        view = _described(image)
    shape = view.shape or ()
    if len(shape) == 3:
        rows, columns, channels = shape
        if (width is not None and width != columns) or (height is not None and height != rows):
            raise ConfigurationError(
                f"frame_image: width={width!r}, height={height!r} is not accepted for an image of "
                f"{columns} × {rows} pixels; leave them out"
            )
    elif len(shape) != 1:
        _refuse(view)
    else:
        columns = width if type(width) is int else _side("width", width)
        rows = height if type(height) is int else _side("height", height)
        pixels = columns * rows
        channels = view.nbytes // pixels if pixels > 0 else 0
    if (
        not (channels == 3 or channels == 4)
        or columns & 3
        or rows & 3
        or columns <= 0
        or not 0 < columns * rows <= MAX_PIXELS
        or view.nbytes != columns * rows * channels
        or view.format != "B"
    ):
        _refuse(view, columns, rows)
    return view, columns, rows, channels


def _side(argument: str, value: object) -> int:
    return integer("frame_image", argument, value, 4, _MAX_SIDE)


def _refuse(view: memoryview, width: int = 0, height: int = 0) -> NoReturn:
    """Say what is wrong with a picture."""
    if view.format != "B" or view.ndim not in (1, 3):
        raise TypeError(
            f"frame_image: an image of the shape {view.shape} and type {view.format!r} is not "
            "accepted; uint8 of the shape (height, width, 3 or 4) or bytes are"
        )
    size = f"frame_image: {width} × {height} pixels are not accepted"
    if width % 4 or height % 4 or width <= 0 or height <= 0:
        raise ConfigurationError(f"{size}; width and height must be multiples of 4")
    if width * height > MAX_PIXELS:
        raise ConfigurationError(
            f"{size}; scale it down to {MAX_PIXELS:,} pixels (640 × 360) or fewer"
        )
    raise ConfigurationError(
        f"frame_image: {view.nbytes} bytes are not accepted for {width} × {height} pixels; 3 (RGB) "
        "or 4 (RGBA) for each are"
    )


def _described(image: object) -> memoryview:
    """Return the memory of an object that describes itself as numpy's do, such as Pillow's."""
    interface: Any = getattr(image, "__array_interface__", None)
    try:
        if interface["typestr"] == "|u1" and interface.get("strides") is None:
            return memoryview(interface["data"]).cast("B", interface["shape"])
    except (TypeError, KeyError):  # none, or data that only has an address
        pass
    raise TypeError(
        f"frame_image: an image of type {type(image).__name__} is not accepted; bytes, or an array "
        "of uint8 with the shape (height, width, 3 or 4) are"
    )
