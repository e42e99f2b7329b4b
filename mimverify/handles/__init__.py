"""Handles on the trainer under trial: its methods as an interface, in this process or its own.

This package imports nothing of the trial, so that a worker process starts quickly.
"""

from mimverify.handles.capabilities import Capabilities
from mimverify.handles.handle import TrainerHandle
from mimverify.handles.in_process import InProcessTrainer

__all__ = ["Capabilities", "InProcessTrainer", "TrainerHandle"]
