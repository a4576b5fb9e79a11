"""Text files: CSV and TSV tables, landmarks, 3D Slicer's points."""
