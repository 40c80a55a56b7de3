"""Memory that a network frees is needed again a moment later: keep it."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -3, -4, -8  # malloc.h
_LARGE_BLOCK = 4 << 20


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of handing them back to the kernel.

    By default every activation map is a fresh mapping whose pages the kernel zeroes one fault at a time: measured in
    training, that was 60 % of the processor's time. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)  # never: a step of training frees more than 2 GB, the largest threshold
    mallopt(_M_TOP_PAD, 64 << 20)
    mallopt(_M_ARENA_MAX, 2)  # or every thread that reads keeps freed films of its own


def return_large_blocks() -> None:
    """Undo that for blocks of some megabytes: of a large network what is free between others of other sizes adds up to
    as much as what is in use, and its pages take little of the time that it computes."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL("libc.so.6").mallopt
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
            mallopt(_M_MMAP_MAX, 1 << 16)


def return_freed_memory() -> None:
    """Give what is free back after all, as an import does after each transaction: pieces of many sizes add up."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
