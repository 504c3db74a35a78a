"""Pages that people read: what a job has read, made into text, HTML and JSON."""
