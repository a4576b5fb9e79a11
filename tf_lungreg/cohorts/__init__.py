"""Participants and their images: tables, split, cache of prepared scans, random pairs."""
