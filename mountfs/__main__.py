"""``python -m mountfs``: the same as the command."""

from __future__ import annotations

import sys

from mountfs.command.start import main

sys.exit(main())
