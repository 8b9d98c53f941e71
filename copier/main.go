// Copies the folder of scripts out of the image it is in.
//
//	copier install FILE        copy this program to FILE
//	copier copy SOURCE TARGET  copy what is in the folder SOURCE into the folder TARGET
//
// An image of scripts may hold nothing but scripts, so a container of it has no program that could copy them. A first
// container, of our image, installs this one into a volume; a second, of the image of scripts, runs it from there. It is
// linked statically and needs nothing around it.
//
// What is copied is what schema_operator.scripts.reading would see in the folder itself; what it could not read is
// refused and never left out, because a version whose script is gone may be rolled back. Links are followed here: one
// that were copied would lead into the runner's file system.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// What schema_operator.controller.images understands.
	exitLater   = 10
	exitRefused = 20

	// Bounds against a whole system that is named by mistake; the largest folders of scripts that we know have 400
	// files and 2 MB.
	mostFiles = 100_000
	mostBytes = 1 << 30

	mostNamed = 10
)

// refused is what a person must change.
type refused struct{ sentence string }

func (problem refused) Error() string { return problem.sentence }

func refuse(format string, values ...any) error { return refused{fmt.Sprintf(format, values...)} }

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.As(err, &refused{}) {
		os.Exit(exitRefused)
	}
	os.Exit(exitLater)
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "install":
		return install(arguments[1])
	case len(arguments) == 3 && arguments[0] == "copy":
		return copyFolder(filepath.Clean(arguments[1]), arguments[2])
	}
	return errors.New("usage: copier install FILE | copier copy SOURCE TARGET")
}

func install(target string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = copyFile(self, target, 0o755)
	return err
}

func copyFolder(source, target string) error {
	info, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return refuse("the image has no folder %s; %s; correct spec.scripts.image.path", source, whatIsThere(source))
	case err != nil:
		return unreadable(source, err)
	case !info.IsDir():
		return refuse("%s is a file of the image and no folder; name the folder it is in: spec.scripts.image.path: %s",
			source, filepath.Dir(source))
	}
	// A container that is started again finds what the one before has left.
	if err := empty(target); err != nil {
		return err
	}
	one := copying{device: device(info)}
	return one.folder(source, target, 0)
}

// copying counts what has been copied; device is that of the folder, so that nothing mounted is copied with "/".
type copying struct {
	device uint64
	files  int
	bytes  int64
}

func (one *copying) folder(source, target string, depth int) error {
	entries, err := os.ReadDir(source)
	if err != nil {
		return unreadable(source, err)
	}
	for _, entry := range entries {
		if err := one.entry(entry, filepath.Join(source, entry.Name()), filepath.Join(target, entry.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

func (one *copying) entry(entry fs.DirEntry, source, target string, depth int) error {
	isLink := entry.Type()&fs.ModeSymlink != 0
	info, err := os.Stat(source)
	switch {
	case err != nil && isLink:
		return refuse("%s is a link of the image that leads nowhere; remove it, or put there what it leads to", source)
	case err != nil:
		return unreadable(source, err)
	case info.IsDir():
		hidden := depth == 0 && strings.HasPrefix(entry.Name(), ".")
		// Below the first level links to folders are not followed, for they may go round.
		if hidden || (isLink && depth > 0) || device(info) != one.device {
			return nil
		}
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		return one.folder(source, target, depth+1)
	case !info.Mode().IsRegular():
		return refuse("%s is neither a file nor a folder of the image; remove it", source)
	}
	return one.file(source, target, info.Size())
}

func (one *copying) file(source, target string, size int64) error {
	one.files++
	one.bytes += size
	if one.files > mostFiles || one.bytes > mostBytes {
		return refuse("the folder has more than %d files or %d MiB, so it holds more than scripts; "+
			"name the folder of the scripts in spec.scripts.image.path", mostFiles, mostBytes>>20)
	}
	_, err := copyFile(source, target, 0o444)
	return err
}

func copyFile(source, target string, mode fs.FileMode) (int64, error) {
	from, err := os.Open(source)
	if err != nil {
		return 0, unreadable(source, err)
	}
	defer from.Close()
	into, err := os.OpenFile(target, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	written, err := io.Copy(into, from)
	return written, errors.Join(err, into.Close())
}

func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(path string, err error) error {
	var cause syscall.Errno
	if errors.As(err, &cause) {
		err = cause
	}
	return refuse("%s cannot be read in the image (%v); let everybody read what is in the folder of the scripts: "+
		"chmod -R a+rX when the image is built", path, err)
}

// whatIsThere says what the nearest folder above a path that does not exist holds.
func whatIsThere(path string) string {
	above := filepath.Dir(path)
	root, rootErr := os.Stat("/")
	entries, err := os.ReadDir(above)
	if err != nil || rootErr != nil {
		if above == "/" {
			return "nothing can be read in it"
		}
		return whatIsThere(above)
	}
	var found []string
	for _, entry := range entries {
		name := entry.Name()
		if info, err := os.Stat(filepath.Join(above, name)); err != nil || strings.HasPrefix(name, ".") ||
			(info.IsDir() && device(info) != device(root)) {
			continue // mounted into the container, or hidden: no part of the image that could be meant
		} else if info.IsDir() {
			name += "/"
		}
		found = append(found, name)
	}
	if len(found) == 0 {
		return fmt.Sprintf("its folder %s is empty", above)
	}
	more := ""
	if len(found) > mostNamed {
		more = fmt.Sprintf(" and %d more", len(found)-mostNamed)
		found = found[:mostNamed]
	}
	return fmt.Sprintf("in %s there is %s%s", above, strings.Join(found, ", "), more)
}

func device(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Dev)
	}
	return 0
}
