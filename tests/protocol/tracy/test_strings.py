"""Tables of texts and places: ids that keep their meaning, within what a viewer takes."""

from __future__ import annotations

import pytest

from aperf.protocol.tracy import MAX_SOURCES, Stream, Strings
from aperf.protocol.tracy._texts import MAX_TEXT, cut


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        ("aé", b"a\xc3\xa9"),
        ("a\ud800b", b"a?b"),
        ("a" * MAX_TEXT, b"a" * MAX_TEXT),
        ("a" * (MAX_TEXT + 1), b"a" * MAX_TEXT),
        ("a" + "é" * MAX_TEXT, b"a" + "é".encode() * ((MAX_TEXT - 1) // 2)),
        ("aaa" + "\N{SNAKE}" * MAX_TEXT, b"aaa" + "\N{SNAKE}".encode() * ((MAX_TEXT - 3) // 4)),
    ],
)
def test_cut(text: str, expected: bytes) -> None:
    """A text is cut between characters, and what UTF-8 cannot express is replaced."""
    assert expected == cut(text)


def test_texts() -> None:
    """Equal texts share an id, which is never 0; an unknown id has a text too."""
    strings = Strings()
    one, two = strings.text("one"), strings.text("two")
    assert 0 not in (one, two)
    assert one != two
    assert one == strings.text("one")
    assert ("one", "two") == (strings.text_of(one), strings.text_of(two))
    assert "???" == strings.text_of(1 << 60)


def test_sources() -> None:
    """A place is told by all that it consists of."""
    strings = Strings()
    place = strings.source("name", "function", "file.py", 7, 0x010203)
    assert place == strings.source("name", "function", "file.py", 7, 0x010203)
    assert place != strings.source("name", "function", "file.py", 8, 0x010203)
    assert place != strings.source("name", "function", "file.py", 7)
    source = strings.source_of(place)
    assert "name" == strings.text_of(source.name)
    assert "function" == strings.text_of(source.function)
    assert "file.py" == strings.text_of(source.file)
    assert (7, 0x010203) == (source.line, source.color)
    assert 0 == strings.source_of(strings.source("", "function", "file.py", 7)).name


def test_too_many_sources() -> None:
    """A program with more places than a viewer takes gets one for the rest, and is told so."""
    strings = Strings()
    sources = {strings.source("", "function", "file.py", line) for line in range(MAX_SOURCES)}
    assert MAX_SOURCES == len(sources)
    assert not any(map(strings.source_is_generic, sources))
    rest = strings.source("", "function", "file.py", MAX_SOURCES)
    assert strings.source_is_generic(rest)
    assert 0 != rest
    assert rest == strings.source("", "other", "file.py", 1)
    assert 0 != strings.source_of(rest).function
    assert strings.source("", "function", "file.py", 3) in sources


def test_inline_places() -> None:
    """A place that is sent with its zone has its texts in order, and long ones are cut."""
    strings = Strings()
    expected = b"\3\2\1\0\7\0\0\0function\0file.py\0name"
    assert expected == strings.inline("name", "function", "file.py", 7, 0x010203)
    assert len(strings.inline("n" * 70_000, "f" * 70_000, "p" * 70_000, 7)) < MAX_TEXT


def test_too_many_inline_places() -> None:
    """Places that are sent with their zones are limited as well."""
    strings = Strings()
    places = {strings.inline("", "function", "file.py", line) for line in range(MAX_SOURCES + 9)}
    assert MAX_SOURCES + 1 == len(places)
    rest = strings.inline("", "other", "file.py", 1)
    assert strings.inline_is_generic(rest)
    assert not strings.inline_is_generic(strings.inline("", "function", "file.py", 1))
    stream = Stream(72, strings, strict=True)
    stream.zone_begin_inline(5, "", "other", "file.py", 1)
    (block,) = stream.take()
    assert b"other" in block  # the zone's name


def test_frames() -> None:
    """Lines of one function are frames of their own with one symbol."""
    strings = Strings()
    one, two = strings.frame("f", "a.py", 3), strings.frame("f", "a.py", 4)
    other = strings.frame("g", "a.py", 9)
    assert one == strings.frame("f", "a.py", 3)
    assert strings.frame_of(one).symbol == strings.frame_of(two).symbol
    assert strings.frame_of(one).symbol != strings.frame_of(other).symbol
    assert ("g", "a.py", 9) == strings.frame_of(other)[:3]
    assert ("a.py", 9) == strings.symbol_of(strings.frame_of(other).symbol)
    # 0.13 asks for small numbers, which are of no frame; a frame without a symbol ends the matter.
    assert 0 == strings.frame_of(3).symbol
    assert min(one, two, other) >= 1 << 32


def test_names() -> None:
    """Threads and fibers have a name even if nobody gave them one."""
    strings = Strings()
    strings.thread(5, "main")
    strings.fiber(5, "lane")
    assert ("main", "lane") == (strings.thread_name(5), strings.fiber_name(5))
    assert ("thread 6", "fiber 6") == (strings.thread_name(6), strings.fiber_name(6))


def test_source_text() -> None:
    """Sources are read only if that is wanted, and only those of the program itself."""
    read = {"a.py": b"one", "b.py": b"two", "secret": b"no"}.get
    strings = Strings(sources=read)
    strings.source("", "f", "a.py", 1)
    strings.frame("f", "b.py", 1)
    assert b"one" == strings.source_text("a.py")
    assert b"two" == strings.source_text("b.py")
    assert strings.source_text("secret") is None
    strings = Strings()
    strings.source("", "f", "a.py", 1)
    assert strings.source_text("a.py") is None
