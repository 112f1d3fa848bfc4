"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from qtaml_codesign.errors import StoreError


def write_whole(path: Path, content: bytes, where: str) -> Path:
    """Write beside `path`, then rename: a reader sees the old file or the new one, never half of one.

    Args:
        path: the file; what stands there is replaced.
        content: all of it.
        where: how an error names the file, such as the option that it came from.

    Returns:
        The path.

    Raises:
        StoreError: it cannot be written; nothing of it is left behind.
    """
    draft = path.with_name(f".{path.name}.part")  # a fixed name: what a killed run leaves is overwritten by the next
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as failure:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(f"the file cannot be written: {failure.strerror}", where=where,
                         rule="a writable folder with room left", value=path,
                         next_step="free some space, or choose another folder") from failure
    return path
