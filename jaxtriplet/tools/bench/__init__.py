"""`jaxtriplet bench`: time and memory of the losses beside other libraries' and beside what nobody can beat.

- `plan`: what is measured; `contenders`: who takes part.
- `worker` is the program of one contender's process; `with_jax`, with the formulas of `textbook`, and `with_torch`
  build what it calls.
- `race` calls the workers in turn; `machine` names the machine.
- `report` makes tables of it, which `bench.md.jinja` puts among words; `picture` makes a picture.

`worker` and `with_torch` import nothing of this package: a PyTorch contender's memory must not hold JAX.
"""
