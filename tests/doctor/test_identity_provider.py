"""The identity provider of the administrators: what is said of one that will not do."""

from __future__ import annotations

from tests.doctor.conftest import Site
from tests.doctor.test_faults import found
from tests.support import openid


def test_the_identity_provider(site: Site) -> None:
    def says() -> str:
        return found(site).get("identity-provider", "")

    with openid.running() as there:
        site.set(oidc_issuer=f"{there.issuer}/", oidc_client_id="v")
        assert "another issuer" in says()
        site.set(oidc_issuer=there.issuer)
        there.changes["id_token_signing_alg_values_supported"] = ["ES256"]
        there.changes["code_challenge_methods_supported"] = ["plain"]
        assert "PKCE with S256, ID tokens signed with RS256 or EdDSA" in says()
        there.changes.clear()
        there.changes["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
        assert "client authentication by none" in says()
        there.changes.clear()
        there.changes["claims_supported"] = ["sub"]
        assert "auth_time" in says()
        site.set(oidc_client_secret_file="/nowhere/secret")
        assert "cannot read /nowhere/secret" in says()
        site.set(oidc_client_secret_file="")
    assert [*found(site)] == ["identity-provider"]
    assert "fetching: ConnectError" in says()
    site.set(oidc_issuer="", oidc_client_id="")
    _, checks = site.ask()
    assert checks["identity-provider"]["state"] == "skipped"
