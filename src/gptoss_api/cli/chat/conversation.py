"""What was said, and by whom."""

import json
from typing import Literal

from msgspec import Struct, field


class Said(Struct, frozen=True):
    role: Literal["user", "assistant"]
    text: str


def as_unicode(text: str) -> str:
    """``text`` that was typed, with ``?`` for each byte that is not of UTF-8: no JSON can hold it."""
    return text.encode("utf-8", "replace").decode()


def full_name(model: str) -> str:
    """The name of a model that may be named by its size alone."""
    return f"gpt-oss-{model}" if model in ("120b", "20b") else model


class Conversation(Struct):
    """What the model is told with the next question. ``effort`` ``None`` leaves it to the gateway."""

    model: str
    effort: str | None = None
    system: str = ""
    said: list[Said] = field(default_factory=list)

    def as_markdown(self) -> str:
        """For people: a heading for each who speaks."""
        parts = [f"## System\n\n{self.system}"] if self.system else []
        parts += [
            f"## {'You' if said.role == 'user' else self.model}\n\n{said.text.strip()}" for said in self.said
        ]
        return "\n\n".join(parts) + "\n"

    def as_json(self) -> str:
        """The messages as clients of OpenAI's API send them."""
        return json.dumps({"model": self.model, "messages": self.messages}, ensure_ascii=False, indent=2)

    @property
    def messages(self) -> list[dict[str, str]]:
        first = [{"role": "system", "content": self.system}] if self.system else []
        return [*first, *({"role": said.role, "content": said.text} for said in self.said)]
