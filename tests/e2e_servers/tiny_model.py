"""A model of two megabytes that says one fixed thing, in Harmony: ``tiny_model.py FILE WORD...``.

Its embeddings are one-hot and its only layer does nothing, so the last token alone decides the next one: each
word leads to the word after it. Runs in the environment of the servers, which has numpy and gguf.
"""

import sys
from pathlib import Path
from typing import Any

TEMPLATE = (Path(__file__).parent / "template.jinja").read_text()
SPECIAL = (
    "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>",
)  # fmt: skip
WIDTH = 320


def byte_characters() -> list[str]:
    """The characters that stand for the 256 bytes in the vocabulary of GPT-2."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def write(path: str, words: list[str]) -> None:
    import gguf
    import numpy as np

    own = list(dict.fromkeys(word for word in ["assistant", *words] if word not in SPECIAL))
    tokens = [*byte_characters(), *SPECIAL, *own]
    number = {token: index for index, token in enumerate(tokens)}
    kinds = gguf.TokenType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 4)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [kinds.NORMAL] * 256 + [kinds.CONTROL] * len(SPECIAL) + [kinds.USER_DEFINED] * len(own)
    )
    writer.add_token_merges(["H e"])
    writer.add_bos_token_id(number["<|start|>"])
    writer.add_eos_token_id(number[words[-1]])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    here = np.zeros((len(tokens), WIDTH), np.float32)
    here[np.arange(len(tokens)), np.arange(len(tokens))] = 1
    onward = np.zeros((len(tokens), WIDTH), np.float32)
    for word, following in zip(["assistant", *words], words, strict=False):
        onward[number[following], number[word]] = 4
    zeros: Any = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731  # one line, used below only
    tensors = {
        "token_embd.weight": here,
        "output.weight": onward,
        "output_norm.weight": np.ones(WIDTH, np.float32),
        "blk.0.attn_norm.weight": np.ones(WIDTH, np.float32),
        "blk.0.ffn_norm.weight": np.ones(WIDTH, np.float32),
        **{f"blk.0.attn_{name}.weight": zeros(WIDTH, WIDTH) for name in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": zeros(32, WIDTH),
        "blk.0.ffn_up.weight": zeros(32, WIDTH),
        "blk.0.ffn_down.weight": zeros(WIDTH, 32),
    }
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2:])
