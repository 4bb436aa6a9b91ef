"""Tools beside the library: `bench` races its losses, `fits` compiles them for accelerators that are not there.

Both do their work in processes of their own, `workers`, know the same `losses`, look up what is `installed`, and share
the lists and tables of `words`.
"""
