"""What `neat_optax.doctor` measures, and the rules of its recommendation."""

from neat_optax._intervals import Interval as Interval
from neat_optax.advice._candidates import KNOWN as KNOWN
from neat_optax.advice._candidates import Candidate as Candidate
from neat_optax.advice._costs import StepCost as StepCost
from neat_optax.advice._diagnosis import Diagnosis as Diagnosis
from neat_optax.advice._geometry import Geometry as Geometry
from neat_optax.advice._measures import Measures as Measures
from neat_optax.advice._rules import Recommendation as Recommendation
from neat_optax.advice._rules import Thresholds as Thresholds
from neat_optax.advice._rules import recommend as recommend
from neat_optax.advice._trial import Trial as Trial
