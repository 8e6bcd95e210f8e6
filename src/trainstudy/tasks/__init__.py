"""What is learned, and how it is scored: one task for each kind of data."""

from trainstudy.tasks.images import Classification
from trainstudy.tasks.task import Task, stream
from trainstudy.tasks.text import LanguageModelling

__all__ = ["TASKS", "Classification", "LanguageModelling", "Task", "stream"]

TASKS: dict[str, type[Task]] = {"images": Classification, "text": LanguageModelling}
