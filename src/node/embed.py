#!/usr/bin/env python3
"""Writes an assembler file that holds a program as bytes: fence_blob .. fence_blob_end."""
import os
import sys

program, output = sys.argv[1:]
with open(output, "w", encoding="ascii") as f:
    f.write(
        "    .section .rodata\n    .global fence_blob, fence_blob_end\n    .balign 16\n"
        f'fence_blob:\n    .incbin "{os.path.abspath(program)}"\nfence_blob_end:\n    .byte 0\n'
        '    .section .note.GNU-stack,"",@progbits\n'
    )
