"""Amazon Bedrock's runtime with a Bedrock API key (docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.core.traits import Traits
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

_PATHS: Final = {"bedrock.converse": "/model/{model}/{converse|converse-stream}"}


class Config(ProviderConfig, frozen=True):
    """Amazon Bedrock in one region, reached with a Bedrock API key."""

    type: str = "bedrock"
    region: Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    """AWS region, such as `eu-central-1`; not needed with a `url`."""


def build(name: str, config: Config) -> Upstream:
    """Needs a key, and a region or a URL. Raises ValueError without them."""
    if config.key is None or not config.key.reveal().strip():
        raise ValueError("`key` is missing or empty; write `key: ${env:AWS_BEARER_TOKEN_BEDROCK}`")
    if config.url is None and config.region is None:
        raise ValueError("`region` is missing; write the AWS region, such as eu-central-1")
    return build_upstream(
        name,
        config,
        url=config.url or f"https://bedrock-runtime.{config.region}.amazonaws.com",
        paths=_PATHS,
        credential=("authorization", Secret(f"Bearer {config.key.reveal().strip()}")),
        traits=Traits(has_json_schema=False),
    )


BEDROCK: Final = ProviderType("bedrock", Config, build, "Amazon Bedrock's Converse API, with a Bedrock API key.")
