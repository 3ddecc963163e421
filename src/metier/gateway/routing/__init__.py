"""Recognises the task, asks the specialist, applies the policy; exchanges champions while calls are under way."""
