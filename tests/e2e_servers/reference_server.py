"""OpenAI's reference server of the Responses API, until told to stop: ``reference_server.py PORT``.

Its own stub backend says one thing to everybody. Whoever offers a tool is answered with a call of it, and
whoever sends a result with what that was, by tokens in the form of that backend.
"""

import re
import sys

CALL = (
    "<|channel|>analysis<|message|>Look it up.<|end|><|start|>assistant<|channel|>commentary "
    'to=functions.{} <|constrain|>json<|message|>{{"city":"Paris"}}<|call|>'
)
RESULT = (
    "<|channel|>analysis<|message|>There it is.<|end|><|start|>assistant"
    "<|channel|>final<|message|>It is {}.<|return|>"
)


def serve(port: int) -> None:
    import uvicorn
    from gpt_oss.responses_api.api_server import create_api_server
    from gpt_oss.responses_api.inference import stub
    from openai_harmony import HarmonyEncodingName, load_harmony_encoding

    encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    next_of_stub = stub.setup_model("")
    left: list[int] = []

    def infer(tokens: list[int], temperature: float = 0.0, new_request: bool = False) -> int:
        if new_request:
            prompt = encoding.decode_utf8(tokens)
            tool = re.search(r"type (\w+) = ", prompt)
            result = re.search(
                r"functions\.\w+ to=assistant<\|channel\|>commentary<\|message\|>([^<]*)", prompt
            )
            words = RESULT.format(result[1]) if result else CALL.format(tool[1]) if tool else ""
            left[:] = encoding.encode(words, allowed_special="all")
        return left.pop(0) if left else int(next_of_stub(tokens, temperature, new_request))

    uvicorn.run(create_api_server(infer, encoding), port=port, log_level="warning")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
