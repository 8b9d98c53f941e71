"""Folders of scripts in the formats of several tools, told apart without being told; one module a format.

`telling.inventory` chooses. Every format module has a function that takes the files there are and gives the scripts it
found in them, each with its version and kind, and the files that are none. Only the modules of the format at hand are
imported: the start of a run is felt.
"""
