"""Who may call what, with which parameters: the documents under `access`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gatewright.config.problems import ConfigError
from gatewright.config.references import CelText
from gatewright.config.wording import listing, suggestion


class AccessRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lets some consumers call some models. Once there is any rule, calls that no rule allows are refused with 403.

    A rule covers the calls that `consumers`, `issuers`, `models` and `surfaces` select, an empty list meaning all, and
    allows those of them that keep to the rest.
    """

    name: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f`]{1,128}\Z", description="1 to 128 characters on one line")]
    """How refusals and the log call it; callers see it."""
    consumers: list[str] = []
    """Consumer paths (`acme/search/indexer`), or patterns with a trailing `*`."""
    issuers: list[str] = []
    """Names of identity providers: only callers that one of them vouches for, not those with a key."""
    models: list[str] = []
    """Model names as clients call them, or patterns with a trailing `*`."""
    surfaces: list[str] = []
    """Names of surfaces (`chat_completions`); the surface reference lists them."""
    when: Annotated[CelText, Meta(max_length=4096)] | None = None
    """A condition in CEL, as in `request.stream || "batch" in jwt.groups`. Calls for which it is not true, or cannot be
    evaluated, are not allowed by this rule."""
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    """The most output tokens that a request may ask for, all its answers together. It must say how many, where its
    surface has a parameter for that."""
    tools: bool = True
    """Whether requests may offer tools to the model."""
    images: bool = True
    """Whether requests may hold pictures."""

    @property
    def is_limited(self) -> bool:
        """Whether it looks into requests, so that it covers no surface whose requests are passed on unread."""
        return self.max_tokens is not None or not self.tools or not self.images


def find_access_errors(rules: Sequence[AccessRule], issuers: Collection[str]) -> Iterator[ConfigError]:
    """What does not fit together: a name given twice, an identity provider that is not configured."""
    places: dict[str, str] = {}
    for index, rule in enumerate(rules):
        place = f"access[{index}]"
        if rule.name in places:
            yield ConfigError(
                f"{place}.name", f"`{rule.name}` is the name of {places[rule.name]} already; choose another"
            )
        elif rule.name:
            places[rule.name] = place
        for position, issuer in enumerate(rule.issuers):
            if issuer and issuer not in issuers:
                near = suggestion(issuer, list(issuers))
                known = f"use one of {listing(sorted(issuers))}" if issuers else "none is configured"
                hint = f"did you mean `{near}`?" if near else known
                yield ConfigError(f"{place}.issuers[{position}]", f"there is no identity provider `{issuer}`; {hint}")
