"""The definitions, once more, as plain NumPy float64 loops: what every loss is judged against.

Nothing here imports the package under test, and nothing here is fast. A reference takes the rows that count (padding is
deleted before it is called) and returns `Terms`, from which each reduction and each statistic follows.
"""
