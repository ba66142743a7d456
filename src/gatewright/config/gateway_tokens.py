"""The gateway as an authorisation server of its own: short-lived tokens for who has a key, or a JWT of an identity
provider.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

IssuerUrl = Annotated[
    str, Meta(pattern=r"^https?://[!-\"$->@-~]+$", description="an address without `?` and `#`, such as https://ai.acme.example")
]  # fmt: skip
LONGEST_S = 86_400
Lifetime = Annotated[int, Meta(ge=30, le=LONGEST_S, description="30 seconds to a day")]
ClaimName = Annotated[str, Meta(pattern=r"^[!-~]{1,200}$", description="the name of a claim")]


class GatewayTokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gateway tokens: JWTs that this gateway issues itself, at `/oauth/token`, for a key or for a JWT of one of
    `issuers`, and then accepts as a credential. Without this section there are none."""

    issuer: IssuerUrl
    """The public address of this gateway, as its clients reach it: the `iss` of its tokens. It begins with `https`
    unless it is on this machine."""
    audience: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The `aud` of its tokens; default is `issuer`."""
    lifetime_s: Lifetime = 900
    """How long a token holds, at most; never longer than the key or the JWT that it was given for."""
    claims: Annotated[list[ClaimName], Meta(max_length=50)] = []
    """Claims of an identity provider's JWT that a token given for it keeps, so that access conditions can read them."""
