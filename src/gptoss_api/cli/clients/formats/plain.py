"""A file that is one value, whose whole text is written."""

from .edits import Edit, Json, Standing, Whole


class Plain:
    """Edits of whole files."""

    def is_empty(self, text: str) -> bool:
        return not text.strip()

    def standing(self, text: str, edit: Edit) -> Standing:
        if not text.strip():
            return Standing.FREE
        return Standing.SAME if text.strip() == _whole(edit).text.strip() else Standing.OTHER

    def apply(self, text: str, edit: Edit) -> tuple[str, Json]:
        return _whole(edit).text, {"text": text}

    def revert(self, text: str, edit: Edit, before: Json) -> str:
        return str(before["text"])


def _whole(edit: Edit) -> Whole:
    if not isinstance(edit, Whole):
        raise TypeError(edit)
    return edit
