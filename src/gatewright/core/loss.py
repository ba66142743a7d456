"""The loss report: what a translation could not carry over exactly, feature by feature.

Codecs tell a `LossReport` whatever they approximate, drop or cannot do, at the moment they do it; the model's
`fidelity` decides what becomes of it. Nothing is left out without an entry.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from msgspec import Struct

from gatewright.core.chat import ChatRequest, Extension, Native, Role
from gatewright.core.errors import GatewayError, Kind

Fidelity = Literal["strict", "warn", "permissive"]


class Feature(Enum):
    """What a request or an answer may hold; the rows of the published support table."""

    SYSTEM = "system prompt"
    DEVELOPER = "developer messages"
    MID_SYSTEM = "system messages in mid-conversation"
    MESSAGE_NAME = "names of speakers"
    PREFILL = "prefilled answer"
    IMAGE_URL = "images by URL"
    IMAGE_DATA = "inline images"
    IMAGE_DETAIL = "image detail"
    AUDIO = "audio input"
    VIDEO = "video input"
    DOCUMENT = "documents and PDFs"
    FILE_ID = "uploaded files by id"
    TOOLS = "tools"
    CUSTOM_TOOLS = "free-text tools"
    NATIVE_TOOLS = "vendor-hosted tools"
    STRICT_TOOLS = "strict tool schemas"
    TOOL_CHOICE_NONE = "tool choice: none"
    TOOL_CHOICE_REQUIRED = "tool choice: required"
    TOOL_CHOICE_NAMED = "tool choice: one tool"
    TOOL_CHOICE_ALLOWED = "tool choice: some tools"
    PARALLEL_TOOLS = "switch for parallel tool calls"
    TOOL_RESULT_MEDIA = "media in tool results"
    TOOL_RESULT_ERROR = "failed tool results"
    JSON_MODE = "JSON mode"
    JSON_SCHEMA = "JSON Schema output"
    REASONING_EFFORT = "reasoning effort"
    REASONING_BUDGET = "reasoning budget"
    REASONING_SUMMARY = "visible reasoning"
    REASONING_REPLAY = "reasoning with its signature, sent back"
    MAX_TOKENS = "output limit"
    TEMPERATURE = "temperature"
    TOP_P = "top-p"
    TOP_K = "top-k"
    SEED = "seed"
    PENALTIES = "frequency and presence penalties"
    STOP = "stop sequences"
    N = "several answers"
    LOGPROBS = "log probabilities"
    LOGIT_BIAS = "logit bias"
    MODALITIES = "output modalities"
    VERBOSITY = "verbosity"
    USER = "end user"
    METADATA = "metadata"
    SERVICE_TIER = "service tier"
    STORE = "storing at the vendor"
    STATE = "conversations kept at the vendor"
    CACHE_MARK = "prompt-cache marks"
    CACHE_KEY = "prompt-cache key"
    CITATIONS = "citations"
    REFUSAL = "refusals"
    MEDIA_OUTPUT = "media in answers"
    VENDOR = "members only the vendor defines"
    DIMENSIONS = "embedding dimensions"
    TOKEN_INPUT = "input as token ids"
    INPUT_TYPE = "embedding task"


class Outcome(Enum):
    """How much was lost, from least to most."""

    APPROXIMATED = "approximated"
    """Carried over with nearly the same meaning."""
    DROPPED = "dropped"
    """Left out; the answer is still what was asked for (a hint, a label, an optimisation)."""
    REFUSED = "refused"
    """Cannot be left out without answering another question than was asked."""


class Loss(Struct, frozen=True):
    """One entry."""

    feature: Feature
    outcome: Outcome
    path: str
    """The member of the client's request or the upstream's answer, in hub words (`messages[2]`)."""
    note: str
    """What was done or why it cannot be, for people."""

    def __str__(self) -> str:
        return f"{self.path}: {self.outcome.value} ({self.note})" if self.note else f"{self.path}: {self.outcome.value}"


class LossReport:
    """Collects the losses of one translation and enforces its fidelity.

    strict: any loss ends the exchange with `unsupported_feature`. warn: only what is REFUSED does; the rest is told in
    a response header and the log. permissive: nothing does; what would be refused is left out, and told.
    """

    __slots__ = ("_fidelity", "entries")

    def __init__(self, fidelity: Fidelity = "warn") -> None:
        self._fidelity = fidelity
        self.entries: list[Loss] = []

    def add(self, feature: Feature, outcome: Outcome, path: str, note: str) -> None:
        """Tell of a loss in a *request*, before acting on it. Raises GatewayError when the fidelity forbids it.

        After it returns the codec leaves the feature out (DROPPED, REFUSED) or does the next best (APPROXIMATED).
        """
        loss = Loss(feature, outcome, path, note)
        self.entries.append(loss)
        if self._fidelity == "strict" or (outcome is Outcome.REFUSED and self._fidelity == "warn"):
            raise GatewayError(
                Kind.UNSUPPORTED_FEATURE,
                f"The provider behind this model cannot take `{path}` ({feature.value}): {note}.",
                param=path,
            )

    def note(self, feature: Feature, outcome: Outcome, path: str, note: str) -> None:
        """Tell of a loss in an *answer*: paid for already, so it is reported under any fidelity, never refused."""
        if len(self.entries) < 100:
            self.entries.append(Loss(feature, outcome, path, note))

    def approximated(self, feature: Feature, path: str, note: str) -> None:
        self.add(feature, Outcome.APPROXIMATED, path, note)

    def dropped(self, feature: Feature, path: str, note: str) -> None:
        self.add(feature, Outcome.DROPPED, path, note)

    def refused(self, feature: Feature, path: str, note: str) -> None:
        self.add(feature, Outcome.REFUSED, path, note)


def refuse_bound(request: ChatRequest, dialect: str, report: LossReport) -> None:
    """Tell of everything in `request` that a provider speaking `dialect` cannot know; once per translation."""
    for member in request.bound:
        if member.dialect != dialect:
            report.refused(Feature.STATE, member.path, member.advice)


def tell_foreign(extra: Extension | None, dialect: str, report: LossReport) -> None:
    """Tell of the members of a request that another dialect than `dialect`, which is written, defines."""
    if extra is not None and extra.dialect != dialect:
        for name in extra.members:
            report.dropped(Feature.VENDOR, name, f"only {extra.dialect} defines it")


def tell_native(part: Native, role: Role, path: str, report: LossReport) -> None:
    """Tell of a part of another dialect that a message of `role` is written without.

    What an assistant's tools did is told by its words too; without what the user sent, another question is answered.
    """
    tell = report.dropped if role == "assistant" else report.refused
    tell(Feature.NATIVE_TOOLS, path, f"only {part.dialect} has `{part.kind}` parts")


def tell_choice(request: ChatRequest, report: LossReport) -> None:
    """Tell of a demand for a call, where it is left out because no tool is there to be called."""
    if request.tool_choice is not None and request.tool_choice.mode in ("required", "named"):
        report.refused(Feature.TOOL_CHOICE_REQUIRED, "tool_choice", "the request has no tools")
