"""Codex' own catalogue of models, which it asks for at ``/v1/models?client_version=…``.

Without it Codex warns of missing metadata and works with a fallback: no effort, a guessed window, no tool
for patches. The form is that of the Rust type the CLI reads; each member was tried with the real program
(docs/design/clients.md, "Codex").
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ...core.catalog import Model

# What Codex prepends to every conversation. It sends nothing of its own in place of an empty text.
_INSTRUCTIONS: Final = """\
You are a coding agent in Codex CLI. You work in the user's folder with the tools you are given, and you \
keep going until the task is done: do not hand it back half finished, and do not guess what you can look up.

# How you work
- Read before you change: look at the files that matter, and at AGENTS.md files in the folders you touch; \
they hold rules of the project, the nearest one counts most.
- Change as little as the task needs, in the style of the code around it. Leave unrelated faults alone, \
but mention them. Never revert changes that you did not make.
- Change files with apply_patch. Do not commit, make branches or install anything unless you are asked to.
- Check what you did: run the tests or the program, the narrowest check first. If you cannot, say so.
- Search with rg where it is there. Use cat, sed -n and ls to look around; do not print whole large files.
- One call at a time. Read its output before you make the next.
- Before a group of calls say in one short sentence what you are about to do.

# apply_patch
The input of apply_patch is the text of a patch:

*** Begin Patch
*** Update File: path/of/file.py
@@ def greet():
-    print("Hi")
+    print("Hello")
*** Add File: path/of/new.txt
+Every line of a new file begins with a plus.
*** Delete File: path/of/old.txt
*** End Patch

Paths are relative. Around each change stand up to three unchanged lines, each with a blank before it; \
after @@ may stand the class or function the change is in.

# How you answer
At the end say in a few sentences what you changed and how it was checked. Name files by their paths. Be \
plain and short; no headings for a small change.
"""


def render_codex_catalog(models: Sequence[Model]) -> bytes:
    """The body of ``GET /v1/models`` for Codex."""
    return msgspec.json.encode({"models": [_model(model, place) for place, model in enumerate(models)]})


def _model(model: Model, place: int) -> dict[str, Any]:
    return {
        "slug": model.id,
        "display_name": model.display_name,
        "description": f"{model.display_name}, open weights, by this gateway",
        "visibility": "list",
        "supported_in_api": True,
        "priority": place,
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": [
            {"effort": "low", "description": "Answers fast"},
            {"effort": "medium", "description": "Thinks as long as most tasks need"},
            {"effort": "high", "description": "Thinks long"},
        ],
        "supports_reasoning_summaries": True,
        "support_verbosity": False,
        "default_verbosity": None,
        "shell_type": "unified_exec",
        "apply_patch_tool_type": "freeform",
        "supports_parallel_tool_calls": False,
        "experimental_supported_tools": [],
        "input_modalities": ["text"],
        "truncation_policy": {"mode": "bytes", "limit": 10_000},
        "context_window": model.context_window,
        "base_instructions": _INSTRUCTIONS,
    }
