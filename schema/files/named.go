package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	// maxNamed is the size in bytes of the largest file that is digested, and
	// maxKept of the largest whose content is kept.
	maxNamed = 1 << 30
	maxKept  = 1 << 20
)

// Named is a file that a document names, and that may hold anything: a module,
// a certificate. It is never changed.
type Named struct {
	// Err says why the file cannot be used, without its path; nil if it can.
	Err error
	// Open says that the file's mode lets every user of the machine read it.
	Open bool
	// Sum is the SHA-256 of the content, and Data the content itself, or nil
	// where it is larger than a certificate would be. Both are zero where the
	// content was not asked for.
	Sum  [sha256.Size]byte
	Data []byte

	// Read says that the content was asked for.
	Read bool

	stamp   stamp
	settled bool
}

// ReadNamed looks at the file at path, and reads it if content is set. What
// before, which may be nil, knows of the same path is used again if the file's
// stamp says that it did not change.
func ReadNamed(path string, content bool, before *Named) *Named {
	at := time.Now()
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return &Named{Err: plain(err), Read: content}
	case !info.Mode().IsRegular():
		return &Named{Err: errors.New(notRegular(info.Mode()).message), Read: content}
	}
	n := &Named{Open: open(info), stamp: stampOf(info), Read: content}
	n.settled = n.stamp.settled(at)
	if before != nil && before.settled && before.stamp == n.stamp && (before.Read || !content) {
		n.Read, n.Sum, n.Data, n.Err = before.Read, before.Sum, before.Data, before.Err
		return n
	}
	if content {
		n.Err = n.load(path)
	}
	return n
}

func (n *Named) load(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return plain(err)
	}
	defer f.Close()
	h := sha256.New()
	var kept kept
	size, err := io.Copy(io.MultiWriter(h, &kept), io.LimitReader(f, maxNamed+1))
	switch {
	case err != nil:
		return plain(err)
	case size > maxNamed:
		return fmt.Errorf("is larger than the %d MiB that meshc reads", maxNamed>>20)
	}
	n.Sum = [sha256.Size]byte(h.Sum(nil))
	if size <= maxKept {
		n.Data = kept
	}
	return nil
}

// kept keeps what is written to it, up to a little more than maxKept.
type kept []byte

func (k *kept) Write(p []byte) (int, error) {
	if len(*k) <= maxKept {
		*k = append(*k, p...)
	}
	return len(p), nil
}

// plain words an error of the operating system without the path.
func plain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is not there")
	}
	return errors.New(unreadable(err).message)
}

// open reports whether the mode of a file lets everybody read it. Systems
// without such modes have no way to say so.
func open(info fs.FileInfo) bool {
	const readByOthers = 0o004
	return runtime.GOOS != "windows" && info.Mode()&readByOthers != 0
}
