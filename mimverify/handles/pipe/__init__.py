"""Trainers in any language: a child process that is spoken to through pipes (docs/protocol.md)."""

from mimverify.handles.pipe.pipe_trainer import PREFIX, PipeSource, PipeTrainer

__all__ = ["PREFIX", "PipeSource", "PipeTrainer"]
