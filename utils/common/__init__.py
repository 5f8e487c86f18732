"""What every other folder may use: arguments, errors, files, paths, the frame of a run, several processes."""
