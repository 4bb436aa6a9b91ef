"""Bad input, said in the user's words before anything is compiled: the one place that calls chex for users.

- `words`: values that are no arrays: words, sizes, numbers, functions, names of axes;
- `arrays`: arrays and what they must be of each other;
- `entry`: the way into a public function, which asks for all of these by its signature.
"""

from jaxtriplet._checks.arrays import (
    batch as batch,
    by_name as by_name,
    class_weights as class_weights,
    distances as distances,
    flags as flags,
    for_each_class as for_each_class,
    ids as ids,
    integers as integers,
    mask as mask,
    memory as memory,
    paired as paired,
    rows as rows,
    rows_as_given as rows_as_given,
    taken as taken,
    thirds as thirds,
    two_sets as two_sets,
    views as views,
)
from jaxtriplet._checks.entry import (
    entry as entry,
    numbers_of as numbers_of,
    rows_of as rows_of,
    static as static,
    words_of as words_of,
)
from jaxtriplet._checks.words import (
    finite as finite,
    flag as flag,
    functions as functions,
    nearest as nearest,
    option as option,
    positive_integer as positive_integer,
    printable as printable,
    seen as seen,
    whole_number as whole_number,
)
