"""What a scrape of a process says, as a test asks for it."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    """The samples of one answer, by name and labels; `families` are those that it
    names, also without any sample yet, counters without `_total`."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]
    families: frozenset[str]

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples that have these labels."""
        wanted = set(labels.items())
        return sum(
            v for (n, held), v in self.samples.items() if n == name and wanted <= held
        )

    def labels(self, name: str, label: str) -> set[str]:
        """What stands under a label of a metric."""
        return {dict(held)[label] for n, held in self.samples if n == name}


def scrape(address: str) -> Scrape:
    """`address` is host:port."""
    answer = httpx2.get(f"http://{address}/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = [*text_string_to_metric_families(answer.text)]
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    return Scrape(samples, frozenset(family.name for family in families))
