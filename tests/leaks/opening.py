"""The codec server, asked by an operator who looks, and by those who may not."""

from __future__ import annotations

import base64

from tests.codec_server.desk import NAMESPACE, SEALED, Desk
from tests.leaks.scene import Scene
from tests.support import consoles, histories
from votepyramid.engine.codec import PLACE

# An operator may ask so often a minute, and of each kind of work a few are enough.
SOME = 3


def looked(scene: Scene, desk: Desk) -> None:
    """Histories of every kind of work, and what failed of the one that is stuck."""
    seen: dict[str, int] = {}
    for one in histories.executions(scene.console):
        seen[one.workflow_type] = seen.get(one.workflow_type, 0) + 1
        if seen[one.workflow_type] <= SOME:
            events = consoles.history(scene.engine.temporal, NAMESPACE, one.id)
            consoles.decoded(events, desk.decode)
    (stuck,) = scene.console.needing_attention()
    raw = consoles.description(scene.engine.temporal, NAMESPACE, stuck)
    consoles.decoded(raw, desk.decode)


def refused(scene: Scene, desk: Desk) -> None:
    """Secrets of voters wherever a request can have them."""
    text, jwt = str(scene.ballots[2].bearer), scene.jwts[0]
    hidden = base64.b64encode(text.encode()).decode()
    sealed = {"metadata": {"encoding": SEALED, PLACE: hidden}, "data": hidden}
    plain = {"metadata": {"encoding": hidden}, "data": hidden}
    scene.answers += [
        desk.ask({"payloads": desk.sealed()}, Authorization=f"Bearer {jwt}"),
        desk.ask({"payloads": desk.sealed()}, Authorization=f"Bearer {text}"),
        desk.ask({"payloads": [sealed, plain]}),
        desk.ask({"payloads": [{text: text}]}),
        desk.ask({"payloads": [sealed]}, "/encode"),
        desk.ask(text.encode()),
        desk.ask({"payloads": desk.sealed()}, X_Namespace=text),
        desk.ask({"payloads": desk.sealed()}, Origin=f"https://{text}.example"),
        desk.ask({"payloads": []}, f"/{text}"),
        desk.ask({"payloads": []}, Content_Type=f"text/{text}"),
        desk.ask(text.encode() * 40_000),
        desk.http.get("/decode", params={"token": text}, headers={"Cookie": jwt}),
    ]
