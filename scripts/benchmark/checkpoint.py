"""A state dict as training saves it: a few large tensors and many small ones.

Imported by child processes only, and only by those that save: torch takes seconds to load.
"""

from __future__ import annotations

import torch

LAYER_BYTES = 32 * 1024 * 1024
"""The weights of one layer: a matrix of 4,096 by 2,048 numbers of four bytes."""

ROWS, COLUMNS = 4096, LAYER_BYTES // 4 // 4096


def make_state_dict(size_bytes: int) -> dict[str, torch.Tensor]:
    """Return tensors of about *size_bytes* in all, the same ones for the same size."""
    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for layer in range(max(1, size_bytes // LAYER_BYTES)):
        tensors[f"layers.{layer}.weight"] = torch.rand(ROWS, COLUMNS)
        tensors[f"layers.{layer}.bias"] = torch.rand(ROWS)
        tensors[f"layers.{layer}.norm"] = torch.rand(COLUMNS)
    return tensors
