"""What watches: event loops, their executors, every await."""
