"""Chromium at the administrators' pages, driven as a person would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from playwright.sync_api import Browser, Page, Response, sync_playwright

from tests.support.needs import BROWSERS

# WCAG 2.2 AA and all below it; and what axe's makers think good besides.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Visitor:
    """Somebody at a browser, with cookies of their own."""

    url: str
    page: Page

    def go(self, path: str) -> Response:
        """Open an address of the pages, or another site's."""
        address = path if "://" in path else f"{self.url}{path}"
        response = self.page.goto(address)
        if response is None:
            # A page that renews itself has just left for where one signs in.
            response = self.page.goto(address)
        assert response is not None
        return response

    def sign_in(self, name: str, passphrase: str) -> None:
        """From the sign-in page on, wherever that leads."""
        self.go("/sign-in")
        self.fill(name=name, passphrase=passphrase)
        self.press("Sign in")

    def fill(self, **fields: str) -> None:
        """Write into the fields of these names."""
        for name, value in fields.items():
            self.page.locator(f"[name={name}]").fill(value)

    def press(self, label: str) -> None:
        """A button, by its words; the page that it leads to is there afterwards."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=label, exact=True).click()

    @property
    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.url)

    def violations(self, without: str = "") -> list[str]:
        """What axe finds wrong with the page, in a line each; `without` is the selector
        of a part that it does not look at."""
        self.page.evaluate(_axe())
        found = self.page.evaluate(
            "([without, tags]) => axe.run({exclude: without ? [[without]] : []}, "
            "{runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})"
            ".then(found => found.violations)",
            [without, TAGS],
        )
        return [
            f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
            for one in found
            for node in one["nodes"]
        ]


class Browsing:
    """One Chromium for many visitors."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Browsing]:
        (program, *_) = filter(None, map(shutil.which, BROWSERS))
        # As root Chromium has no sandbox; it sees nothing but our own pages.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=program, args=arguments
            )
            yield cls(browser)
            browser.close()

    def visitor(self, url: str, **how: object) -> Visitor:
        """`how` are Playwright's options of a context, such as `color_scheme`."""
        context = self._browser.new_context(**how)  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        return Visitor(url, context.new_page())


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()
