package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links one path may lead through; Linux allows 40.
const maxLinks = 40

// resolve follows every symbolic link on the way from dir, which is a real
// path, to rest, and returns the real path it ends at. Each look-up, a
// directory and a name in it, is told to step: if none of them changes, the
// path keeps its meaning. This includes the look-up that fails.
func resolve(dir, rest string, step func(dir, name string)) (string, error) {
	todo := strings.Split(rest, string(filepath.Separator))
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		step(dir, name)
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			dir = path
			continue
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(target) {
			dir, target = top(target)
		}
		todo = append(strings.Split(target, string(filepath.Separator)), todo...)
	}
	return dir, nil
}

// top splits an absolute path into the directory that has no parent and the rest.
func top(path string) (dir, rest string) {
	volume := filepath.VolumeName(path)
	return volume + string(filepath.Separator), path[len(volume):]
}

// isWithin reports whether path is dir or lies in it; both are real paths.
func isWithin(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == filepath.Separator || strings.HasSuffix(dir, string(filepath.Separator)))
}
