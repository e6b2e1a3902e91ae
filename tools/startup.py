"""Run in the kernel before the notebook; it leaves no name behind."""

__import__("words")
__import__("trainings")
