"""``python -m mountfs``: the same as the command."""

from __future__ import annotations

import sys

from mountfs.command.cli import main

sys.exit(main())
