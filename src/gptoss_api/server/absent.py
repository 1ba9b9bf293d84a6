"""What OpenAI's API has beside answers: gpt-oss has none of it, and each is told what to use instead."""

from typing import Final

_TEXT: Final = "gpt-oss reads and writes text"
_ENDS: Final = "This gateway passes answers on and keeps no"
_RESPONSES: Final = "POST /v1/responses"

_FILES: Final = (
    f"{_ENDS} files. Put their text into the messages of POST /v1/chat/completions or into the input of "
    f"{_RESPONSES}."
)
_TRAINING: Final = (
    "Nothing is trained or measured here: upstreams serve gpt-oss as it was published. Use a server on which "
    "you run weights of your own, and name it in GPTOSS_UPSTREAM."
)
_ACCOUNTS: Final = (
    "This gateway has no organizations. GET /v1/usage tells what a key used, 'gptoss-api keys' makes and "
    "revokes keys."
)
_RANKING: Final = (
    f"{_TEXT} and gives no vectors or scores. Ask a server that has a model for them, such as Ollama with "
    "nomic-embed-text, in a client with a base URL of its own."
)

# By the first segments behind the version; the longest that fits tells.
_ABSENT: Final = {
    "embeddings": f"gpt-oss has no embeddings: {_RANKING}",
    "rerank": f"gpt-oss has no reranking: {_RANKING}",
    "score": f"gpt-oss has no scores: {_RANKING}",
    "moderations": (
        "gpt-oss has no moderations. Ask gpt-oss-safeguard-20b with your policy as the system message, where "
        "an upstream has it (GET /v1/models), or a moderation service."
    ),
    "audio": (
        f"gpt-oss has no audio: {_TEXT}. Use a server of a speech model, such as whisper.cpp or Speaches, "
        "and send its text here."
    ),
    "realtime": (
        f"gpt-oss has no realtime voice: {_TEXT}. Stream {_RESPONSES}, also over a WebSocket (GET "
        "/v1/responses), or POST /v1/chat/completions."
    ),
    "images": f"gpt-oss has no images: {_TEXT}. Use a server of an image model.",
    "videos": f"gpt-oss has no videos: {_TEXT}. Use a server of a video model.",
    "files": _FILES,
    "uploads": _FILES,
    "containers": f"{_ENDS} containers. Offer a tool that runs code where the client can.",
    "vector_stores": (
        f"{_ENDS} vector stores. Search in the client, by a tool of its own, and put what it finds into the "
        "messages."
    ),
    "batches": (
        "This gateway has no batches. Send the requests one by one: it queues what upstreams cannot take "
        f"yet. {_RESPONSES} with background: true answers at once and works on."
    ),
    "messages/batches": (
        "This gateway has no batches. Send the messages one by one to POST /v1/messages: it queues what "
        "upstreams cannot take yet."
    ),
    "fine_tuning": _TRAINING,
    "fine-tunes": _TRAINING,
    "evals": _TRAINING,
    "assistants": f"The Assistants API is not there, as it ended at OpenAI. Use {_RESPONSES}.",
    "threads": (
        "The Assistants API is not there, as it ended at OpenAI. Use "
        f"{_RESPONSES} with previous_response_id to go on with a conversation."
    ),
    "conversations": (
        f"{_ENDS} conversation objects. Use {_RESPONSES} with previous_response_id to go on with a "
        "conversation, or send its items."
    ),
    "prompts": f"{_ENDS} prompts. Send their text as a system message or as instructions.",
    "skills": f"{_ENDS} skills. Send their text as a system message or as instructions.",
    "chatkit": f"This gateway asks a ChatKit server and is none. Use {_RESPONSES}.",
    "edits": "The Edits API is not there, as it ended at OpenAI. Use POST /v1/chat/completions.",
    "engines": "The Engines API is not there, as it ended at OpenAI. Use GET /v1/models.",
    "organization": _ACCOUNTS,
    "organizations": _ACCOUNTS,
    "projects": _ACCOUNTS,
    "dashboard": _ACCOUNTS,
    # Azure's address of a model.
    "openai": (
        "This gateway has OpenAI's own paths and not Azure's. Use the client for OpenAI instead of that for "
        "Azure, with the base URL of this gateway and /v1 at its end."
    ),
}


def advice(path: str) -> str:
    """What to use instead of what OpenAI has at ``path``, which may lack its version; "" for no advice."""
    segments = [segment for segment in path.split("/") if segment]
    if segments[:1] == ["v1"]:
        segments = segments[1:]
    return _ABSENT.get("/".join(segments[:2]), "") or _ABSENT.get("/".join(segments[:1]), "")
