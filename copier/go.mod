// What copies a folder out of an image that has no program of its own.
module schema-operator.dev/copier

go 1.24.0
