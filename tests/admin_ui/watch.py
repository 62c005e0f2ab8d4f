"""The person on duty at the page "Now", whose clicks are counted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.admin_ui.browsing import Visitor
from tests.house.source import ROOT
from tests.support.processes import eventually

WELL = "All is well."


def documented() -> dict[str, int]:
    """How many clicks each fault takes, by what operations.md calls it."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.split("| fault | what Now says |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|-][^|]*) \|.*\| (\d+) \|$", table, re.MULTILINE)
    return {fault: int(clicks) for fault, clicks in rows}


@dataclass
class Watch:
    """The person on duty."""

    visitor: Visitor
    clicks: int = 0

    @property
    def now(self) -> str:
        return self.visitor.page.locator("#now").inner_text()

    def sees(self, text: str, seconds: float = 60.0) -> None:
        """The page comes to say it by itself."""
        assert eventually(lambda: text in self.now, seconds), self.now

    def follow(self, name: str, of: str = "") -> None:
        """A link; the one that goes with a sentence of Now, when there are several."""
        where = self.visitor.page.get_by_role("main")
        if of:
            where = where.get_by_role("listitem").filter(has_text=of)
        with self.visitor.page.expect_navigation():
            where.get_by_role("link", name=name).first.click()
        self.clicks += 1

    def press(self, label: str) -> None:
        """A button."""
        self.visitor.press(label)
        self.clicks += 1

    def reads(self, text: str, seconds: float = 20.0) -> None:
        """The page says it, after it was loaded anew."""
        page = self.visitor.page

        def said() -> bool:
            page.reload()
            return text in page.get_by_role("main").inner_text()

        assert eventually(said, seconds), page.get_by_role("main").inner_text()

    def what_to_do(self, sentence: str, entry: str) -> None:
        """Read the entry that goes with a sentence."""
        self.follow("What to do", of=sentence)
        assert self.visitor.heading == entry
        text = self.visitor.page.get_by_role("main").inner_text()
        for part in ("Meaning.", "What to do.", "It is over when"):
            assert part in text

    def back(self) -> None:
        """To Now, from any page."""
        with self.visitor.page.expect_navigation():
            self.visitor.page.get_by_role(
                "link", name="votepyramid", exact=True
            ).click()
        self.clicks += 1

    def well_again(self, fault: str) -> None:
        """It is over, without a reload; and it took no more than is documented."""
        self.sees(WELL, 120)
        assert self.clicks == documented()[fault]
        self.clicks = 0
