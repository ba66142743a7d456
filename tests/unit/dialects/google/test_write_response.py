from tests.unit.dialects.google.wires import write_answer

from gatewright.core.chat import Citation, Extension, Text, ToolCall
from gatewright.core.events import ChatResponse, Choice, Finish, TokenLogprob
from gatewright.core.usage import Usage


def test_an_answer_of_another_dialect() -> None:
    response = ChatResponse(
        id="msg_1",
        model="claude",
        created=5,
        choices=(
            Choice(
                parts=(
                    Text(text="Für "),
                    Text(text="Köln", citations=(Citation(url="https://a", title="A"),)),
                    ToolCall(id="c", name="f", arguments=""),
                ),
                finish=Finish(reason="tool_calls", native="tool_use", dialect="anthropic.messages"),
                logprobs=(TokenLogprob("a", -0.5),),
            ),
            Choice(index=1, finish=Finish(choice=1, reason="content_filter")),
        ),
        usage=Usage(input_total=5, output_total=3, output_reasoning=1),
        extra=Extension("anthropic.messages", {}),
    )
    written, losses = write_answer(response)
    assert losses == []
    assert written == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Für "},
                        {"text": "Köln"},
                        {"functionCall": {"name": "f", "args": {}, "id": "c"}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
                "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -0.5}]},
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                    "groundingSupports": [
                        {"segment": {"startIndex": 5, "endIndex": 10, "text": "Köln"}, "groundingChunkIndices": [0]}
                    ],
                },
            },
            {"content": {"role": "model"}, "finishReason": "SAFETY", "index": 1},
        ],
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 2,
            "totalTokenCount": 8,
            "thoughtsTokenCount": 1,
        },
        "modelVersion": "claude",
        "responseId": "msg_1",
    }


def test_an_answer_without_an_id_gets_the_exchanges() -> None:
    written, _ = write_answer(ChatResponse(id="", model="", choices=(Choice(),)))
    assert written == {"candidates": [{"content": {"role": "model"}, "index": 0}], "responseId": "made-up"}
