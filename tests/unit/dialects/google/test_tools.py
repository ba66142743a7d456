from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import again, read, user, write

from gatewright.core.chat import CacheMark, ChatRequest, Message, NativeTool, Text, Tool, ToolChoice
from gatewright.core.errors import GatewayError
from gatewright.dialects.google.members import NAME

CONTENTS = [user({"text": "hi"})]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
ASKED = (Message(role="user", parts=(Text(text="hi"),)),)


def body(**members: Any) -> dict[str, Any]:
    return {"contents": CONTENTS, **members}


def declared(**members: Any) -> dict[str, Any]:
    return body(tools=[{"functionDeclarations": [{"name": "f", **members}]}])


@pytest.mark.parametrize(
    "asked",
    [
        declared(),
        declared(description="", parametersJsonSchema=SCHEMA),
        declared(parameters={"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}),
        declared(parameters={"type": "object", "properties": {}}, response={"type": "STRING"}, behavior="BLOCKING"),
        body(
            tools=[
                {"functionDeclarations": [{"name": "f"}, {"name": "g"}]},
                {"googleSearch": {}},
                {"codeExecution": {}},
            ]
        ),
        body(tools=[{"googleSearch": {"timeRangeFilter": {}}}, {"functionDeclarations": [{"name": "f"}]}]),
        body(tools=[{"urlContext": {}, "googleSearch": {}}]),
        body(tools=[{"functionDeclarations": [{"name": "f"}]}], toolConfig={"functionCallingConfig": {"mode": "AUTO"}}),
    ],
)
def test_tools_survive_the_hub(asked: dict[str, Any]) -> None:
    assert again(asked) == asked


def test_a_group_of_both_kinds_is_two() -> None:
    asked = body(tools=[{"functionDeclarations": [{"name": "f"}], "google_search": {}}])
    assert again(asked)["tools"] == [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]


def test_a_mode_may_be_a_number() -> None:
    asked = declared() | {"toolConfig": {"functionCallingConfig": {"mode": 2}}}
    assert again(asked)["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_spellings_that_mean_the_same() -> None:
    asked = body(tools={"function_declarations": [{"name": "f", "parameters_json_schema": SCHEMA}]})
    expected = [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}]
    assert again(asked)["tools"] == expected


def test_googles_own_schema_is_json_schema_to_others() -> None:
    spelled = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}
    [tool] = read(declared(parameters=spelled)).tools
    assert isinstance(tool, Tool)
    assert bytes(tool.parameters or b"") == b'{"type":"object","properties":{"a":{"type":["string","null"]}}}'


def test_a_hosted_tool_is_named() -> None:
    [tool] = read(body(tools=[{"google_search": {}}])).tools
    assert isinstance(tool, NativeTool)
    assert (tool.dialect, tool.kind, bytes(tool.raw)) == (NAME, "googleSearch", b'{"google_search":{}}')


def test_a_declaration_needs_a_name() -> None:
    with pytest.raises(GatewayError, match=r"`tools\[0\].functionDeclarations\[0\].name` is missing"):
        read(body(tools=[{"functionDeclarations": [{}]}]))


def test_tools_of_other_dialects() -> None:
    tools = (
        Tool(name="f", description="d", parameters=Raw(b'{"type":"object","$defs":{}}')),
        Tool(name="g", strict=True, cache=CacheMark()),
        NativeTool(dialect="openai.responses", kind="web_search", raw=Raw(b"{}")),
        Tool(name="free", is_custom=True),
        Tool(name="h"),
    )
    written, losses = write(ChatRequest(model="m", messages=ASKED, tools=tools))
    assert written["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "$defs": {}}},
                {"name": "g"},
                {"name": "h"},
            ]
        }
    ]
    assert [loss.split(" (")[0] for loss in losses] == [
        "tools[1]: dropped",
        "tools[1]: dropped",
        "tools[2]: refused",
        "tools[3]: refused",
    ]


@pytest.mark.parametrize(
    ("spelled", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice(mode="auto")),
        ({"mode": "ANY"}, ToolChoice(mode="required")),
        ({"mode": "NONE"}, ToolChoice(mode="none")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice(mode="named", name="f")),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice(mode="required", allowed=("f", "g"))),
    ],
)
def test_the_choice_of_tools(spelled: dict[str, Any], choice: ToolChoice) -> None:
    asked = declared() | {"toolConfig": {"functionCallingConfig": spelled}}
    assert read(asked).tool_choice == choice
    assert again(asked) == asked
    written, losses = write(ChatRequest(model="m", messages=ASKED, tools=(Tool(name="f"),), tool_choice=choice))
    assert written["toolConfig"] == {"functionCallingConfig": spelled}
    assert losses == []


@pytest.mark.parametrize(
    "config",
    [
        {"functionCallingConfig": {"mode": "VALIDATED"}},
        {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}},
        {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}},
        {"functionCallingConfig": {"mode": "NONE", "allowedFunctionNames": ["f"]}},
        {"functionCallingConfig": {"mode": "MODE_UNSPECIFIED"}},
        {"functionCallingConfig": {}},
        {"functionCallingConfig": {"mode": "AUTO", "streamFunctionCallArguments": True}},
        {"includeServerSideToolInvocations": True},
        {"functionCallingConfig": {"mode": "ANY"}, "retrievalConfig": {"languageCode": "de"}},
        {},
    ],
)
def test_what_only_this_api_can_say_of_tools(config: dict[str, Any]) -> None:
    asked = declared() | {"toolConfig": config}
    choice = read(asked).tool_choice
    assert choice is None or choice.mode in ("auto", "none", "required")
    assert again(asked) == asked


def test_a_choice_among_some_tools_leaves_the_model_free_to_answer() -> None:
    choice = ToolChoice(mode="auto", allowed=("f",))
    written, losses = write(ChatRequest(model="m", messages=ASKED, tools=(Tool(name="f"),), tool_choice=choice))
    assert written["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}}
    assert losses == []


def test_no_choice_is_made_among_tools_that_were_all_left_out() -> None:
    tools = (Tool(name="free", is_custom=True),)
    asked = ChatRequest(model="m", messages=ASKED, tools=tools, tool_choice=ToolChoice(mode="required"))
    written, _ = write(asked)
    assert "tools" not in written
    assert "toolConfig" not in written


def test_one_call_at_a_time_cannot_be_asked_for() -> None:
    _, losses = write(ChatRequest(model="m", messages=ASKED, parallel_tool_calls=False))
    assert [loss.partition(":")[0] for loss in losses] == ["parallel_tool_calls"]
    assert write(ChatRequest(model="m", messages=ASKED, parallel_tool_calls=True))[1] == []
