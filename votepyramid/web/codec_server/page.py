"""The one page of a development sign-in."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Codec server</title>
<style nonce="{nonce}">
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto;
       padding: 0 1rem }}
</style>
<h1>Payloads of this stack</h1>
<p id="said">Signing in …</p>
<div id="next" hidden>
<p><a href="{console}" rel="noopener">The console</a> shows payloads opened.</p>
<p>Where it does not, it does not send the sign-in along. Once in this browser: choose
the codec server's icon in the console, <em>Use my browser setting</em>, the endpoint
<code>{endpoint}</code>, and tick <em>Include cross-origin credentials</em>.</p>
</div>
<script nonce="{nonce}">
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const said = document.getElementById("said");
if (!token) said.textContent = "Open the link that votepyramid operator link prints.";
else fetch("session", {{method: "POST", headers: {{Authorization: "Bearer " + token}}}})
  .then((answer) => {{
    said.textContent = answer.ok
      ? "You are signed in for eight hours."
      : "This link was used, or is too old. votepyramid operator link prints another.";
    document.getElementById("next").hidden = !answer.ok;
  }})
  .catch(() => {{ said.textContent = "The codec server does not answer."; }});
</script>
</html>
"""


def sign_in_page(nonce: str, console: str, endpoint: str) -> str:
    """HTML; `console` and `endpoint` are origins."""
    return _PAGE.format(nonce=nonce, console=escape(console), endpoint=escape(endpoint))
