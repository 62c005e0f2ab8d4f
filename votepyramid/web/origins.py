"""An origin (RFC 6454), as a browser writes it: whose pages may ask for something."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from votepyramid.settings import Settings, SettingsError


def origin(settings: Settings, name: str) -> str:
    """The origin that a setting names. Raises SettingsError with what to set."""
    text = settings.require(name)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SettingsError(f"{name} is {text!r}: not an origin") from None
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    canonical = f"{parts.scheme}://{shown}"
    if port is not None and port != {"http": 80, "https": 443}.get(parts.scheme):
        canonical += f":{port}"
    if parts.scheme not in ("http", "https") or not host or canonical != text:
        raise SettingsError(
            f"{name} is {text!r}: it must be one origin as a browser writes it, "
            "such as https://console.example.org, without a path or a slash at the end"
        )
    if settings.production and parts.scheme != "https" and not _is_loopback(host):
        raise SettingsError(f"{name} must be https in production")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
