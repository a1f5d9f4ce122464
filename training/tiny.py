"""An architecture's name -> a folder with an untrained one-layer model of it and a tokenizer of its family's kind.

The same bytes every time, whatever was seeded before. The folder looks like a base pulled from the Hub, so a smoke run
walks the path of a real one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

SEED = 0
WIDTH = 32
POSITIONS = 514
"""RoBERTa and MPNet count positions from 2; the others never need the last two."""
CHARACTERS = [chr(code) for code in range(33, 127)]
LOWER = [character for character in CHARACTERS if not character.isupper()]
BERT_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
MASK = "[MASK]"
ROBERTA_TOKENS = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
END, START = "<|endoftext|>", "<|im_start|>"
PLAIN, TYPED = ["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]
_COMMON = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 2 * WIDTH,
    "max_position_embeddings": POSITIONS,
    "bos_token_id": None,
    "eos_token_id": None,
}
_SHAPES: dict[str, dict[str, object]] = {
    "distilbert": {"dim": WIDTH, "n_layers": 1, "n_heads": 2, "hidden_dim": 2 * WIDTH},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": WIDTH},
    "roberta": {"type_vocab_size": 1},
    "modernbert": {"reference_compile": False, "cls_token_id": None, "sep_token_id": None},
    "qwen2": {"num_key_value_heads": 1, "pad_token_id": None},
}


def write_tiny(architecture: str, folder: Path) -> None:
    """Write config.json, model.safetensors (the encoder without a head) and the tokenizer into ``folder``."""
    tokenizer = make_tokenizer(architecture)
    shape = {"pad_token_id": tokenizer.pad_token_id, **_COMMON, **_SHAPES.get(architecture, {})}
    config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), initializer_range=0.1, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer over single characters or bytes, built like those of the architecture's released models."""
    if architecture in ("bert", "distilbert"):
        names = TYPED if architecture == "bert" else PLAIN
        return _wrap(_make_wordpiece(BERT_TOKENS), BERT_TOKENS | {"mask_token": MASK}, names)
    if architecture == "mpnet":
        pieces = _make_wordpiece(ROBERTA_TOKENS)
        pieces.post_processor = _frame_pair(pieces, ROBERTA_TOKENS, doubled=True)
        return _wrap(pieces, ROBERTA_TOKENS | {"mask_token": MASK}, PLAIN)
    if architecture == "deberta-v2":
        return _wrap(_make_unigram(), BERT_TOKENS, TYPED)
    if architecture == "qwen2":
        tokenizer = _wrap(_make_bytes([END]), {"pad_token": END, "eos_token": END}, PLAIN)
        tokenizer.add_tokens([AddedToken(START, special=True)])
        return tokenizer
    special = ROBERTA_TOKENS if architecture == "roberta" else BERT_TOKENS
    pieces = _make_bytes(list(special.values()))
    pieces.post_processor = _frame_pair(pieces, special, doubled=architecture == "roberta")
    return _wrap(pieces, special, PLAIN)


def _wrap(pieces: Tokenizer, special: dict[str, str], names: list[str]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=pieces, model_input_names=names, padding_side="right", **special)


def _make_wordpiece(special: dict[str, str]) -> Tokenizer:
    tokens = [*special.values(), *LOWER, *(f"##{c}" for c in LOWER), MASK]
    return BertWordPieceTokenizer({token: i for i, token in enumerate(tokens)}, lowercase=True, **special)._tokenizer


def _make_unigram() -> Tokenizer:
    special = list(BERT_TOKENS.values())
    pieces = Tokenizer(models.Unigram([(token, -1.0) for token in (*special, "\u2581", *CHARACTERS)], unk_id=1))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.decoder = decoders.Metaspace()
    pieces.post_processor = _frame_pair(pieces, BERT_TOKENS, doubled=False)
    return pieces


def _make_bytes(special: list[str]) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = Tokenizer(models.BPE({token: i for i, token in enumerate([*special, *alphabet])}, []))
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    return pieces


def _frame_pair(pieces: Tokenizer, special: dict[str, str], doubled: bool) -> processors.TemplateProcessing:
    start, end = special["cls_token"], special["sep_token"]
    middle = f"{end} {end}" if doubled else end
    second = "$B:0 {end}:0" if doubled else "$B:1 {end}:1"
    return processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {middle} {second.format(end=end)}",
        special_tokens=[(token, pieces.token_to_id(token)) for token in (start, end)],
    )
