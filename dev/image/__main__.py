"""`python -m dev.image`: build the image of this checkout and print its name."""

from dev.image import image

print(image())
