"""What studies share: claims and criteria, runs over seeds, records, worlds and arms.

The names below are what a study that compares arms needs; the rest has modules of its own.
"""

from byheart.study.base.comparison import Arm, Comparison, sgd
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Power, Scales, Study, Tuned

__all__ = ["Arm", "Comparison", "Criterion", "Power", "Scales", "Study", "Tuned", "sgd"]
