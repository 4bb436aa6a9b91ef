"""The stages of `benchmarks/accelerator.py`: each has a `run(session)` that records items as it goes.

- `session`: the device, the time that is left, the results on the disk; programs compiled by many threads at once.
- `timing`: how programs are timed; `programs`: losses, products and batches as programs.
- `card`, `numerics`, `losses`, `tiles`, `update`, `profile`, `bench`: the stages.
- `page`: the results as Markdown and as a picture.
"""
