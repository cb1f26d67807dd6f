"""Artifact bytes between our object store and a DVC remote; nothing else speaks to DVC.

DVC takes 0.2-0.3 s to import, so it is imported where it is used.
"""
