"""`jaxtriplet bench`: time and memory of the mined losses beside other libraries' and beside what nobody can beat.

- `plan`: what is measured; `contenders`: who takes part.
- `worker` is one contender in a process of its own; `with_jax` and `with_torch` build what it calls.
- `race` calls the workers in turn; `machine` names the machine.
- `report` makes tables of it, `picture` a picture.

`worker` and `with_torch` import nothing of this package: a PyTorch contender's memory must not hold JAX.
"""
