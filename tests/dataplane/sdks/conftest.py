"""The gateway behind which every provider dialect plays, and the addresses by which the SDKs know it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import trustme
from suite import KEY, build_config, run_gateway

from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

if TYPE_CHECKING:
    from plays.stage import Stage

# The folders beside the tests are imported by name, in every import mode.
sys.path.insert(0, str(Path(__file__).parent))

SDKS: Final = ("anthropic", "boto3", "cohere", "google.genai", "ollama", "openai")


def _is_here(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


MISSING: Final = [name for name in SDKS if not _is_here(name)]
"""What `test_installed.py` then fails for, in place of everything else here."""
collect_ignore = [
    path.name for path in Path(__file__).parent.glob("test_*.py") if MISSING and "installed" not in path.name
]


class Parts(NamedTuple):
    """What a suite works with."""

    stage: Stage
    upstream: ScriptedUpstream
    gateway: GatewayProcess
    secure: GatewayProcess
    """The same with TLS."""
    ca: str

    def address(self, client: str = "") -> Any:
        """Where the SDK of a client dialect finds its gateway."""
        from clients.told import Address

        gateway = self.secure if client == "bedrock.converse" else self.gateway
        base = f"https://localhost:{gateway.address[1]}" if gateway is self.secure else gateway.url.removesuffix("/v1")
        return Address(base, KEY, self.ca)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A file with a certificate for localhost and its key, and one with the authority that signed it."""
    folder = tmp_path_factory.mktemp("tls")
    authority, leaf = trustme.CA(), folder / "leaf.pem"
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(leaf)
    return str(leaf), str(folder / "ca.pem")


@pytest.fixture(scope="session")
def running(certificate: tuple[str, str]) -> Iterator[Parts]:
    """Both gateways, for all suites."""
    from clients.told import close_all
    from plays.stage import Stage

    leaf, ca = certificate
    with ScriptedUpstream() as upstream, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
        stage = Stage(upstream)
        config = build_config(**stage.configure())
        tls = {"certificate": leaf, "key": leaf}
        with run_gateway(config) as gateway, run_gateway({**config, "tls": tls}) as secure:
            yield Parts(stage, upstream, gateway, secure, ca)
            close_all()


@pytest.fixture(autouse=True)
def collected_between() -> Iterator[None]:
    """What an SDK leaves of a failed stream is collected between tests, never within a call: httpcore takes a lock to
    close a stream that is collected, and where it holds that lock just then, it waits for itself (its issue 1108)."""
    gc.disable()
    yield
    gc.enable()
    gc.collect(1)  # the young ones: what survives is left to the collector, which works between tests as ever


@pytest.fixture
def parts(running: Parts) -> Iterator[Parts]:
    """The same, and at the end of the test: no vendor would have refused anything."""
    running.stage.complaints.clear()
    yield running
    assert not running.stage.complaints, running.stage.complaints[0]
