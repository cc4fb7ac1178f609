"""Pages as a strict reader and a real browser see them."""

from __future__ import annotations

import re
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

from tests.simulators.programs import need_program

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self._open[-1:] == ["style"] else self.words).append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def check_self_contained(page: Page) -> None:
    """No script, no style sheet, no picture or font from anywhere; every link leads into the page."""
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {*page.tags}
    assert page.values("src") == []
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = page.values("href")
    assert {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= {*page.values("id")}
    assert not re.search(r"url\(|@import|//", "".join([*page.styles, *page.values("style")]))
    assert any("default-src 'none'" in value for value in page.values("content"))


def scanlines(png: bytes) -> list[bytes]:
    """The lines of a picture of 8-bit RGB or RGBA, filtered as PNG stores them."""
    width, channels = int.from_bytes(png[16:20]), {2: 3, 6: 4}[png[25]]
    data, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    lines, length = zlib.decompress(data), 1 + width * channels
    return [lines[i : i + length] for i in range(0, len(lines), length)]


def pictured(html: str, folder: Path, *, width: int, height: int, dark: bool = False) -> list[bytes]:
    """What Chromium draws of a page, line by line; skips the test where there is no Chromium."""
    picture = folder / "page.png"
    flags = ["--blink-settings=preferredColorScheme=0"] if dark else []
    _chromium(html, folder, *flags, f"--window-size={width},{height}", f"--screenshot={picture}")
    return scanlines(picture.read_bytes())


def printed(html: str, folder: Path) -> int:
    """How many sheets of paper Chromium prints a page on; skips the test where there is no Chromium."""
    document = folder / "page.pdf"
    _chromium(html, folder, f"--print-to-pdf={document}")
    return len(re.findall(rb"/Type ?/Page\b", document.read_bytes()))


def _chromium(html: str, folder: Path, *what: str) -> None:
    chromium, page = need_program("chromium"), folder / "page.html"
    page.write_text(html, encoding="utf-8")
    quiet = ("sandbox", "first-run", "default-browser-check")
    off = ("gpu", "quic", "background-networking", "component-update", "sync", "dev-shm-usage")
    flags = ["--headless", *(f"--no-{name}" for name in quiet), *(f"--disable-{name}" for name in off)]
    command = [chromium, *flags, f"--user-data-dir={folder / 'profile'}", *what, page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
