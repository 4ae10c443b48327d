#!/usr/bin/env python3
"""Writes the peer benchmark's project as a cbi workspace.

    emit.py DIR        DIR/deps.json (written by the benchmark's gen.py) -> DIR/cbi.toml, DIR/recipes/bench.toml

Every action is one `command` target with the very command line that the other tools run. A target is named after its
output; a source becomes a file it reads, an output of another action becomes a target it needs.
"""
import json
import os
import sys


def emit(folder):
    with open(os.path.join(folder, "deps.json")) as f:
        deps = json.load(f)
    made = {out for out, _, _ in deps["nodes"]}
    text = json.dumps  # a JSON string or list of strings is a TOML one
    lines = []
    for out, ins, command in deps["nodes"]:
        lines.append(f'[command.{text(out)}]\nshell = {text(command)}\noutputs = [{text(out)}]\n')
        for key, names in (("files", [i for i in ins if i not in made]), ("needs", [i for i in ins if i in made])):
            if names:
                lines.append(f"{key} = {text(names)}\n")
        lines.append("\n")
    for name in ("recipes", "warehouse"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    with open(os.path.join(folder, "recipes", "bench.toml"), "w") as f:
        f.write("".join(lines))
    with open(os.path.join(folder, "cbi.toml"), "w") as f:
        f.write(f'[workspace]\nname = "bench"\ndefault = [{text(deps["nodes"][-1][0])}]\n')


if __name__ == "__main__":
    emit(sys.argv[1])
