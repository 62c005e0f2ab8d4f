"""What it was measured on and with, and where the figures are written."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from bench.stack import (
    POSTGRES_SETTINGS,
    TEMPORAL_CONNECTIONS,
    TEMPORAL_SETTINGS,
    TEMPORAL_SHARDS,
)
from votepyramid.stack import binaries


def machine() -> dict[str, Any]:
    """As the files of results have it; the load is that of before."""
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": _postgres(),
        "temporalio": version("temporalio"),
        "load_before": os.getloadavg()[0],
        "postgres_settings": POSTGRES_SETTINGS,
        "temporal_settings": TEMPORAL_SETTINGS,
        "temporal_shards": TEMPORAL_SHARDS,
        "temporal_connections": TEMPORAL_CONNECTIONS,
    }


def machine_text(where: dict[str, Any]) -> str:
    """For people."""
    settings = ", ".join(f"{k} {v}" for k, v in POSTGRES_SETTINGS.items())
    return (
        f"{where['processor']}, {where['cores']} cores, {where['memory_gib']} GiB; "
        f"{where['system']}; Python {where['python']}; load {where['load_before']:.1f} "
        "before.\n"
        f"PostgreSQL {where['postgres']}, fsync on: {settings}.\n"
        f"temporal-server on the same PostgreSQL: {TEMPORAL_SHARDS} shards, "
        f"{TEMPORAL_CONNECTIONS} connections, rate limits raised, eager activities on."
    )


def write_results(folder: Path, name: str, document: dict[str, Any]) -> Path:
    """Write figures as JSON; `document` holds the `machine`."""
    folder.mkdir(parents=True, exist_ok=True)
    when = document["machine"]["when"].replace(":", "")
    path = folder / f"{name}{when}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _postgres() -> str:
    found = binaries.debian()
    if found is None:
        return "unknown"
    command = [str(found.postgres), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.removeprefix("postgres (PostgreSQL) ").partition(" ")[0].strip()


def _processor() -> str:
    done = subprocess.run(["lscpu"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        name, _, value = line.partition(":")
        if name == "Model name":
            return value.strip()
    return platform.machine()
