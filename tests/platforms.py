"""Numbers tuned for each platform, of which the tests use those of a CPU for all.

Else every loss would be traced for each of them, in most of the tests twice: `test_tuning.py` is about what differs.
"""

from jaxtriplet.engine import tuning

PLATFORMS = dict(tuning.TUNING)
tuning.TUNING.update(dict.fromkeys(PLATFORMS, PLATFORMS["cpu"]))
