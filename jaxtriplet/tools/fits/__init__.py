"""`jaxtriplet fits`: does a program fit an accelerator, by compiling it for that accelerator, which need not be there.

- `targets`: the accelerators; `programs`: what is compiled for them, which `lowering` traces.
- `compilers` are those of the accelerators, in a folder of their own.
- `hlo` reads the compiled text: collectives, and how often loops run; `launches` counts what a GPU's host has to start.
- `worker` compiles in a process of its own, which `compiler` asks.
- `search` finds the largest batch; `report` makes a table and JSON of it all, `fits.md.jinja` the notes.

The backends' own compilers do the work, so that memory and collectives are those of a real run. Of speed and rounding
on the accelerator this tells nothing.
"""
