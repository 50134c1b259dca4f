package identity

import (
	"log/slog"
	"os"
	"path/filepath"
)

// privateDir makes dir a directory that nobody else may look into.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(dir, 0o700)
	}
	return err
}

// writePrivate replaces the file at path by one that only its owner may read,
// in one step.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // a key that is lost cannot be made again
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// readPrivate reads what writePrivate wrote, and mends its mode if need be.
func readPrivate(path string, log *slog.Logger) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("others could read a key of meshc's", "path", path)
		if err := os.Chmod(path, 0o600); err != nil {
			return nil, err
		}
	}
	return readFile(path)
}
