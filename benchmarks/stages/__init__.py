"""The stages of `benchmarks/accelerator.py`: each has a `run(session)` that records items as it goes.

- `session`: the device, the time that is left, the results on the disk; programs compiled a group at a time.
- `timing`: how programs are timed; `programs`: losses, products and batches as programs.
- `card`, `losses`, `numerics`, `update`, `tiles`, `profile`, `large`, `bench`: the stages.
- `page`, `picture`: the results as Markdown and as bars.
"""
