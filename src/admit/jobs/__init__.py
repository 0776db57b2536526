"""Work after the answer: the queue of jobs, leader steps, and the loops that drive them.

Nothing here is needed for correctness: whatever a process does not do, another does later from what was committed.
"""

from admit.jobs.leader import Leader, Step, Steps
from admit.jobs.loop import Loop, Pause, pause
from admit.jobs.runner import Handler, Runner

__all__ = ["Handler", "Leader", "Loop", "Pause", "Runner", "Step", "Steps", "pause"]
