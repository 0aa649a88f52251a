"""Follow all links within a built documentation, and report those that lead nowhere.

    python docs/check_links.py FOLDER

FOLDER holds the HTML pages. A link is missing if there is no such file, or if the file
has no element with the name after ``#``. Other sites are not visited. Pictures of the
gallery are not looked for, because they are missing in a build without it.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

GALLERY_PICTURES = "auto_examples/images"


class Page(HTMLParser):
    """The names and links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.names: set[str] = {""}
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the element is called and what it links to."""
        for key, value in attrs:
            if key == "id" or (tag == "a" and key == "name"):
                self.names.add(value or "")
            elif key in ("href", "src") and value:
                self.links.append(value)


def pages_of(folder: Path) -> list[Path]:
    """The HTML pages, without templates of the theme among its static files."""
    pages = folder.rglob("*.html")
    return sorted(page for page in pages if "_static" not in page.parts)


def missing_links(folder: Path) -> list[tuple[str, str]]:
    """Pairs of a page and a link on it that leads nowhere."""
    folder = folder.resolve()
    pages = {path: Page(path) for path in pages_of(folder)}
    missing = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or GALLERY_PICTURES in parts.path:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = path if not parts.path else target
            named = pages.get(target)
            found = target.exists() if named is None else parts.fragment in named.names
            if not found:
                missing.append((str(path.relative_to(folder)), link))
    return missing


def main() -> None:
    """Print the missing links, and fail if there are any."""
    folder = Path(sys.argv[1])
    missing = missing_links(folder)
    for page, link in missing:
        print(f"{page}: {link}")
    n_pages = len(pages_of(folder))
    if missing or not n_pages:
        sys.exit(f"{len(missing)} missing links on {n_pages} pages in {folder}")
    print(f"no missing links on {n_pages} pages")


if __name__ == "__main__":
    main()
