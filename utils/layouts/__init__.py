"""Folders of images and labels as people have them: each layout read into one table of images by names."""
