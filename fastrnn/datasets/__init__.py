"""Data sets in the form that models take, from the files that their authors give out; nothing is downloaded."""

from fastrnn.datasets import imdb

__all__ = ["imdb"]
