"""How the programs end that tests start under torchrun."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import torch.distributed as dist


def end_rank() -> NoReturn:
    """End a rank that has done everything, successfully, without tearing Python down.

    Threads of gloo may still hold results then, and torch aborts the process ("terminate called
    without an active exception", pytorch issues 179291, 190489).
    """
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
