"""An encoder recipe -> a folder with an encoder that learned to fill in masked words of financial headlines.

Domain-adaptive pretraining (Gururangan et al. 2020) with BERT's masked words (Devlin et al. 2019). The folder is a base
for recipes of the fine-tuning: `base = "encoder:runs/finance"`. Many headlines come with a name that stands in
them as the second segment, as companies will, so that the encoder learns to look from one to the other.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerFast

from pipeline.errors import ModelError, PipelineError
from pipeline.model_folder import METRICS, RECIPE, hash_file, write_json, write_provenance

from .bases import Base, check_length, load_tokenizer, open_base, quiet, read_config, set_dropout
from .batches import group_batches, pad_batch
from .corpus import draw_headlines, pair_headlines
from .course import find_rate
from .data import describe_data, load_examples
from .encoder_recipe import EncoderRecipe, format_encoder
from .readers import DataSource
from .run_folder import describe_base, describe_libraries, peak_rss_mib
from .splits import SPLIT_SEED, fingerprint_splits, split_examples
from .steps import MAX_GRADIENT_NORM, deterministic_algorithms
from .train import count_processes, seed_everything, start_accelerator
from .unfinished import hold_folder, is_disk_fault, is_out_of_memory
from .vocabulary import read_emoji, trim_vocabulary

HELD_HEADLINES, FEWEST_HEADLINES = 2000, 10
"""Of the headlines this many, a tenth if there are fewer, are not learned from but measured on."""
SHOWN_STEPS = 20
IGNORED = -100
SPECIAL_TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MASKED, RANDOM_PIECE = 0.8, 0.1
"""Of the pieces to guess, shares that become [MASK] and another piece; the rest stays, so that every piece counts."""
Pair = tuple[str, str]


class PretrainingError(PipelineError):
    """An encoder cannot be pretrained."""


class PieceGuesser(nn.Module):
    """An encoder and the layer over it that guesses pieces; its output matrix is the encoder's input embeddings."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(encoder.config.vocab_size))

    def forward(self, guessed: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits float (guessed pieces, vocabulary); ``guessed`` bool (n, length) says where they are."""
        hidden = self.encoder(**inputs).last_hidden_state[guessed]
        table = cast(torch.Tensor, self.encoder.get_input_embeddings().weight)
        return functional.linear(self.transform(hidden), table, self.bias)


def pretrain_encoder(recipe: EncoderRecipe, data: DataSource, output: Path) -> Path:
    """Pretrain ``recipe`` on the headlines of ``data``; return the new folder ``output/<name>``.

    Texts of validation and test rows are left out. Deterministic for a recipe, data, library set, device and number of
    threads. Not resumable: a run ended early leaves nothing.

    Raises:
        PipelineError: the base or the corpus is refused, the folder exists or another process is making it, several
            processes were started, or memory or disk ended it.
    """
    folder = claim_encoder(output, recipe)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with hold_folder(unfinished), end_in_one_line(recipe):
        try:
            write_encoder(unfinished, recipe, *make_encoder(recipe, data))
            os.replace(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def claim_encoder(output: Path, recipe: EncoderRecipe) -> Path:
    """Return where the encoder goes, after making sure that ``output`` is a folder and this process is alone.

    Raises:
        PretrainingError: the encoder is there already, ``output`` cannot be made, or there are several processes.
    """
    folder = output / recipe.name
    if folder.exists():
        raise PretrainingError(f"{folder} exists; remove it or choose another --output")
    if (count := count_processes()) > 1:
        raise PretrainingError(f"{count} processes were started; expected one to pretrain {recipe.name}")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PretrainingError(f"--output {output} cannot be made: {error.strerror}") from error
    return folder


def make_encoder(
    recipe: EncoderRecipe, data: DataSource
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, dict[str, Any], dict[str, Any]]:
    """Return the pretrained encoder, its tokenizer, its losses and costs, and where it comes from."""
    corpus, started = data.find_file(recipe.corpus), time.monotonic()
    examples = load_examples(data)
    splits = split_examples(examples, SPLIT_SEED)
    held_out = {examples[i].text for i in (*splits.validation, *splits.test)}
    pairs, held = pair_corpus(recipe, corpus, held_out)
    labelled = [(examples[i].text, examples[i].target) for i in splits.train] * recipe.labelled_repeats
    tqdm.write(f"{recipe.name}: {len(pairs):,} headlines and {len(labelled):,} labelled texts; {recipe.base}")
    seed_everything(recipe.seed)
    accelerator = start_accelerator(recipe.precision)
    encoder, tokenizer = load_encoder(recipe, [text for text, _ in (*pairs, *labelled)])
    losses: dict[str, Any] = {}
    if recipe.epochs:
        with deterministic_algorithms():
            losses = teach_pieces(accelerator, encoder, tokenizer, recipe, pairs + labelled, held)
    provenance = {
        "base": describe_base(recipe),
        "seed": recipe.seed,
        "corpus": {"file": recipe.corpus, "sha256": hash_file(corpus), "headline_count": len(pairs)},
        "data": describe_data(data, examples),
        "splits": fingerprint_splits(examples, splits),
        **describe_libraries(accelerator.device),
    }
    costs = {"wall_s": round(time.monotonic() - started, 1), "peak_rss_mib": round(peak_rss_mib(), 1)}
    return encoder, tokenizer, losses | costs, provenance


def pair_corpus(recipe: EncoderRecipe, corpus: Path, held_out: Collection[str]) -> tuple[list[Pair], list[Pair]]:
    """Return the headlines to learn from and those to measure on, drawn from ``corpus``, none of them of ``held_out``.

    Raises:
        PipelineError: the corpus is refused, or holds fewer than FEWEST_HEADLINES.
    """
    headlines = draw_headlines(corpus, recipe.headlines + HELD_HEADLINES, held_out, Random(recipe.seed))
    if len(headlines) < FEWEST_HEADLINES:
        raise PretrainingError(f"{corpus}: {len(headlines)} headlines to learn from; expected {FEWEST_HEADLINES}")
    held_count, random = min(HELD_HEADLINES, len(headlines) // 10), Random(recipe.seed)
    held = pair_headlines(headlines[:held_count], random)
    return pair_headlines(headlines[held_count : held_count + recipe.headlines], random), held


@contextlib.contextmanager
def end_in_one_line(recipe: EncoderRecipe) -> Iterator[None]:
    """Turn too little memory and a dead disk into a PretrainingError."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise PretrainingError(
                f"out of memory at batch_size {recipe.batch_size}: free some, or lower it"
            ) from error
        if is_disk_fault(error):
            raise PretrainingError(f"the disk failed: {str(error).splitlines()[0]}; nothing was written") from error
        raise


def load_encoder(recipe: EncoderRecipe, texts: Sequence[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return the base's encoder and tokenizer: with the vocabulary that ``texts`` use most, if one is to be cut."""
    base = Base(recipe.base, recipe.revision, recipe.weight_sha256, recipe.architecture)
    with open_base(base) as place, quiet():
        tokenizer = load_tokenizer(place, base)
        if tokenizer.mask_token is None:
            raise ModelError(f"base {base.id}: its tokenizer has no mask token; expected an encoder's")
        config = read_config(place, base)
        check_length(config, recipe.max_length)
        set_dropout(config, 0.0)  # every headline comes about once: there is nothing to overfit
        encoder = AutoModel.from_pretrained(place, config=config, dtype=torch.float32, local_files_only=True)
    if not recipe.vocabulary:
        return encoder, tokenizer
    whole = read_emoji(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()))
    trimmed, kept = trim_vocabulary(whole, texts, recipe.vocabulary)
    encoder.get_input_embeddings().weight.data = encoder.get_input_embeddings().weight.data[kept].clone()
    encoder.get_input_embeddings().num_embeddings = encoder.config.vocab_size = len(kept)
    names = {name: str(getattr(tokenizer, name)) for name in SPECIAL_TOKENS}
    # The base's own class: transformers.js gives segment ids to it alone. transformers 5 reads no emoji through it.
    wrapped = type(tokenizer)(tokenizer_object=trimmed, padding_side="right", **names)
    encoder.config.pad_token_id = wrapped.pad_token_id
    return encoder, wrapped


def teach_pieces(
    accelerator: Accelerator,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: EncoderRecipe,
    pairs: Sequence[Pair],
    held: Sequence[Pair],
) -> dict[str, Any]:
    """Train ``encoder`` in place; return the loss per guessed piece on ``held`` after every epoch, and while training.

    All in nats, under fixed masks on ``held``.
    """
    guesser = PieceGuesser(encoder)
    optimizer = torch.optim.AdamW(
        guesser.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    encoded, held_rows = encode_pairs(tokenizer, pairs, recipe), encode_pairs(tokenizer, held, recipe)
    random, masks = Random(recipe.seed), torch.Generator().manual_seed(recipe.seed)
    steps = recipe.epochs * math.ceil(len(encoded) / recipe.batch_size)
    warmup = max(1, round(recipe.warmup_share * steps))
    schedule = LambdaLR(optimizer, lambda step: find_rate("linear", step, warmup, steps))
    guesser, optimizer = accelerator.prepare(guesser, optimizer)
    after, training = [], []
    for epoch in range(1, recipe.epochs + 1):
        guesser.train()
        batches = group_batches([len(row["input_ids"]) for row in encoded], recipe.batch_size, random)
        shown = tqdm(batches, desc=f"epoch {epoch}/{recipe.epochs}", mininterval=10, leave=False)
        for step, rows in enumerate(shown, 1):
            loss = guess_pieces(accelerator, guesser, tokenizer, [encoded[i] for i in rows], recipe, masks)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(guesser.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            training.append(loss.detach())
            if step % SHOWN_STEPS == 0:
                shown.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        after.append(measure_guesses(accelerator, guesser, tokenizer, held_rows, recipe))
        tqdm.write(f"epoch {epoch}/{recipe.epochs}  held-out loss {after[-1]:.3f}")
        if not math.isfinite(after[-1]):
            raise PretrainingError(f"the loss is not a number in epoch {epoch}; lower learning_rate")
    return {"held_out_loss": after, "training_loss": list(smooth_losses(torch.stack(training).tolist()))}


def encode_pairs(
    tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair], recipe: EncoderRecipe
) -> list[dict[str, list[int]]]:
    """Return the token ids of every pair, not padded."""
    texts, targets = map(list, zip(*pairs, strict=True))
    encoded = tokenizer(texts, targets, truncation="longest_first", max_length=recipe.max_length)
    return [{name: column[i] for name, column in encoded.items()} for i in range(len(pairs))]


def guess_pieces(
    accelerator: Accelerator,
    guesser: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[dict[str, list[int]]],
    recipe: EncoderRecipe,
    masks: torch.Generator,
) -> torch.Tensor:
    """Return the mean cross-entropy of the pieces masked in ``rows``."""
    inputs = pad_batch(list(rows), tokenizer)
    shown, labels = mask_pieces(inputs["input_ids"], tokenizer, recipe.mask_share, masks)
    guessed = labels != IGNORED
    moved = {name: value.to(accelerator.device) for name, value in (inputs | {"input_ids": shown}).items()}
    logits = guesser(guessed=guessed.to(accelerator.device), **moved)
    return functional.cross_entropy(logits.float(), labels[guessed].to(accelerator.device))


def mask_pieces(
    ids: torch.Tensor, tokenizer: PreTrainedTokenizerFast, share: float, masks: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``ids`` int64 (n, length) with pieces hidden, and what they were, IGNORED where none is to be guessed.

    A ``share`` of the pieces is drawn, special tokens excepted, and at least one; see MASKED for what they become.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    draw = torch.rand(ids.shape, generator=masks).masked_fill(special, 2.0)
    chosen = (draw < share) | (draw == draw.min()) & ~special
    labels = torch.where(chosen, ids, IGNORED)
    way = torch.rand(ids.shape, generator=masks)
    other = torch.randint(len(tokenizer), ids.shape, generator=masks)
    shown = torch.where(chosen & (way < MASKED), tokenizer.mask_token_id, ids)
    return torch.where(chosen & (way >= MASKED) & (way < MASKED + RANDOM_PIECE), other, shown), labels


@torch.inference_mode()
def measure_guesses(
    accelerator: Accelerator,
    guesser: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[dict[str, list[int]]],
    recipe: EncoderRecipe,
) -> float:
    """Return the mean loss over batches of ``rows``, masked the same way every time."""
    guesser.eval()
    masks = torch.Generator().manual_seed(recipe.seed)
    losses = [
        guess_pieces(accelerator, guesser, tokenizer, rows[i : i + recipe.batch_size], recipe, masks)
        for i in range(0, len(rows), recipe.batch_size)
    ]
    return float(torch.stack(losses).mean())


def smooth_losses(losses: Sequence[float], points: int = 50) -> Iterator[float]:
    """Yield the means of at most ``points`` equal stretches of ``losses``."""
    width = max(1, math.ceil(len(losses) / points))
    for start in range(0, len(losses), width):
        part = losses[start : start + width]
        yield round(sum(part) / len(part), 4)


def write_encoder(
    place: Path,
    recipe: EncoderRecipe,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    metrics: dict[str, Any],
    provenance: dict[str, Any],
) -> None:
    """Write the files of the encoder's folder into ``place``."""
    encoder.save_pretrained(place)
    tokenizer.save_pretrained(place)
    (place / RECIPE).write_text(format_encoder(recipe), encoding="utf-8")
    write_json(place / METRICS, metrics)
    write_provenance(place, provenance)
