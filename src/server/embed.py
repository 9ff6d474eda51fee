#!/usr/bin/env python3
"""Turn JSON files into C string constants: embed.py OUTPUT.c NAME=FILE.json ... (compact, keys in their order)."""
import json
import sys

with open(sys.argv[1], 'w') as out:
    out.write('/* Made by embed.py from facts/: do not edit. */\n#include "server/rbac_bootstrap_facts.h"\n')
    for argument in sys.argv[2:]:
        name, path = argument.split('=', 1)
        with open(path) as f:
            text = json.dumps(json.load(f), separators=(',', ':'), ensure_ascii=True)
        pieces = [json.dumps(text[i:i + 100]) for i in range(0, len(text), 100)]
        out.write('const char %s[] =\n    %s;\n' % (name, '\n    '.join(pieces)))
