"""Float weights -> int8 weights that an old CPU sums without overflow, rounded so that the layer's output moves least.

CPUs without VNNI multiply u8 activations by s8 weights and add neighbours, rows 2j and 2j + 1, in 16 bits
(vpmaddubsw), which saturate at 32767. The usual remedy is seven-bit weights: 255 * (64 + 64) = 32640. What has to hold
is weaker: the positive weights of a pair sum to at most 128, and so do the negative ones. That leaves eight bits to
most pairs and a step about a third finer. Rounding: GPTQ (Frantar et al. 2023, arXiv:2210.17323), each row's error
carried over to the rows still to come, weighted by what the activations do.
"""

from __future__ import annotations

import numpy as np

PAIR_SUM = 128
LARGEST = 127
DAMPING = 0.01
BLOCK = 64
SHRINKS = np.linspace(0.7, 1.0, 11)


def round_weights(weights: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 (k, n) and float32 (n,): ``weights`` is close to the first times the second, a scale per column.

    Args:
        weights: float (k, n).
        moments: float (k, k), the mean of x.T @ x over activations x; zeros stand for an input that never varied.
    """
    count = weights.shape[0]
    damping = DAMPING * max(float(np.diag(moments).mean()), 1e-12)
    moments = moments.astype(np.float64) + damping * np.eye(count)
    scales = _find_scales(weights.astype(np.float64), np.diag(moments))
    spread = np.linalg.cholesky(np.linalg.inv(moments)).T
    rest = weights.astype(np.float64)
    values = np.zeros_like(rest)
    for start in range(0, count, BLOCK):
        end = min(count, start + BLOCK)
        errors = np.zeros((end - start, weights.shape[1]))
        for row in range(start, end):
            partner = values[row - 1] if row % 2 else None
            values[row] = _round_row(rest[row] / scales, partner)
            error = errors[row - start] = (rest[row] - values[row] * scales) / spread[row, row]
            rest[row + 1 : end] -= np.outer(spread[row, row + 1 : end], error)
        rest[end:] -= spread[start:end, end:].T @ errors
    return values.astype(np.int8), scales.astype(np.float32)


def largest_pair_sum(values: np.ndarray) -> int:
    """Return the largest sum that one sign reaches in a pair of neighbouring rows of int (k, n); 128 is safe."""
    even = np.pad(values.astype(np.int64), ((0, len(values) % 2), (0, 0))).reshape(-1, 2, values.shape[1])
    return int(max(np.maximum(even, 0).sum(axis=1).max(), np.maximum(-even, 0).sum(axis=1).max()))


def _round_row(row: np.ndarray, partner: np.ndarray | None) -> np.ndarray:
    """Return whole numbers in -127..127 that keep the sums of the pair, once ``partner`` stands."""
    values = np.clip(np.rint(row), -LARGEST, LARGEST)
    if partner is None:
        return values
    return np.clip(values, np.maximum(-partner, 0) - PAIR_SUM, PAIR_SUM - np.maximum(partner, 0))


def _find_scales(weights: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Return for each column the scale, of a few, at which plain rounding and clipping cost least."""
    padded = np.pad(weights, ((0, len(weights) % 2), (0, 0)))
    pairs = padded.reshape(-1, 2, weights.shape[1])
    sums = np.maximum(np.maximum(pairs, 0).sum(axis=1), np.maximum(-pairs, 0).sum(axis=1)).max(axis=0)
    widest = np.maximum(sums / PAIR_SUM, np.abs(weights).max(axis=0) / LARGEST)
    widest[widest == 0] = 1
    costs = []
    for shrink in SHRINKS:
        scaled = padded / (widest * shrink)
        first = _round_row(scaled[::2], None)
        rounded = np.stack([first, _round_row(scaled[1::2], first)], axis=1).reshape(padded.shape)[: len(weights)]
        costs.append((importance[:, None] * (rounded * widest * shrink - weights) ** 2).sum(axis=0))
    return (widest * SHRINKS[np.argmin(costs, axis=0)]).astype(np.float32).astype(np.float64)
