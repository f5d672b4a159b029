"""A headless Chromium for the tests in this folder: skipped where there is none, except under CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pages import PAGES

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI asks for it", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _give_up(f"no browser: none of {', '.join(NAMES)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _give_up("the package playwright is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """A page in the browser, and all that went wrong or out while it was there.

    Attributes:
        page: playwright's.
        said: console messages, errors, and requests for anything but the page itself.
    """

    page: Any
    folder: Path
    said: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note from now on what the page says and asks for; answer no request but for itself."""
        self.page.on("console", lambda message: self.said.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.route("**/*", self._answer)

    def _answer(self, route: Any) -> None:
        if route.request.url.split("#")[0].startswith(self.folder.as_uri()):
            route.continue_()
        else:
            self.said.append(f"request: {route.request.url}")
            route.abort()

    def show(self, name: str, width: int = 1440, scheme: str = "light", html: str = "") -> Any:
        """Go to a page of `PAGES`, or to the HTML given, and return playwright's page."""
        file = self.folder / f"{name}.html"
        if html or not file.exists():
            file.write_text(html or PAGES[name](), encoding="utf-8")
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme, media="screen")
        self.page.goto("about:blank")
        self.page.goto(file.as_uri())
        return self.page


@pytest.fixture(scope="session")
def shared_visit(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    context = browser.new_context()
    visit = Visit(context.new_page(), tmp_path_factory.mktemp("pages"))
    visit.watch()
    yield visit
    context.close()


@pytest.fixture
def visit(shared_visit: Visit) -> Iterator[Visit]:
    """Yield a page that may be used; whatever it said or asked for is a failure."""
    shared_visit.said.clear()
    yield shared_visit
    assert shared_visit.said == []


@pytest.fixture
def bare(browser: Any, tmp_path: Path) -> Iterator[Visit]:
    """Yield a page without JavaScript."""
    context = browser.new_context(java_script_enabled=False)
    yield Visit(context.new_page(), tmp_path)
    context.close()
