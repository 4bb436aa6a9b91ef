"""Bad input, said in the user's words before anything is compiled: the one place that calls chex for users.

- `words`: values that are no arrays: words, sizes, numbers, names of axes;
- `callables`: functions that users give, and what they make of shapes;
- `conversion`: arrays of any library, and what to do with those that JAX does not take;
- `arrays`: arrays and what they must be of each other;
- `calls`: arguments in another order, or of other names;
- `names`: names that a module has not;
- `entry`: the way into a public function, which asks for all of these by its signature.
"""

from jaxtriplet._checks.arrays import (
    batch as batch,
    class_weights as class_weights,
    distances as distances,
    flags as flags,
    for_each_class as for_each_class,
    ids as ids,
    integers as integers,
    mask as mask,
    memory as memory,
    paired as paired,
    pairwise as pairwise,
    rows as rows,
    thirds as thirds,
    two_sets as two_sets,
    views as views,
)
from jaxtriplet._checks.callables import fits as fits, functions as functions
from jaxtriplet._checks.calls import mapped as mapped, order as order, swapped as swapped
from jaxtriplet._checks.conversion import (
    by_name as by_name,
    hosted as hosted,
    rows_as_given as rows_as_given,
    taken as taken,
)
from jaxtriplet._checks.entry import (
    entry as entry,
    numbers_of as numbers_of,
    ranges as ranges,
    rows_of as rows_of,
    static as static,
    words_of as words_of,
)
from jaxtriplet._checks.names import ELSEWHERE as ELSEWHERE, lacks as lacks
from jaxtriplet._checks.words import (
    axes as axes,
    finite as finite,
    flag as flag,
    given as given,
    key as key,
    mesh as mesh,
    nearest as nearest,
    option as option,
    positive_integer as positive_integer,
    printable as printable,
    seen as seen,
    whole_number as whole_number,
    word as word,
)
