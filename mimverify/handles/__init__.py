"""Handles on the trainer under trial: its methods as an interface, in this process or its own.

This package imports nothing of the trial, so that a worker process starts quickly.
"""

from mimverify.handles.interface import Capabilities, InProcessTrainer, TrainerHandle

__all__ = ["Capabilities", "InProcessTrainer", "TrainerHandle"]
