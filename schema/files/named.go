package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxNamed is the size in bytes of the largest file that is digested.
const maxNamed = 1 << 30

// Named is a file that a document names, and that may hold anything: a module,
// a certificate. It is never changed.
type Named struct {
	// Path is where it was looked for.
	Path string
	// Err says why the file cannot be used, without its path; nil if it can.
	Err error
	// Open says that the file's mode lets every user of the machine read it.
	Open bool
	// Sum is the SHA-256 of the content, Size its length, and Data the content
	// itself, or "" where it is longer than Limit. All are zero where the
	// content was not asked for.
	Sum  [sha256.Size]byte
	Size int64
	Data string

	// Limit is how many bytes of content were asked for; 0 means none.
	Limit int64

	stamp   stamp
	settled bool
}

// ReadNamed looks at the file at path, and if limit is not 0 reads it, to keep
// its content up to that many bytes. What before, which may be nil, knows of
// the same path is used again if the file's stamp says that it did not change.
func ReadNamed(path string, limit int64, before *Named) *Named {
	at := time.Now()
	n := &Named{Path: path, Limit: limit}
	info, err := os.Stat(path)
	if err != nil {
		n.Err = plain(err)
		return n
	}
	n.Open, n.stamp = open(info), stampOf(info)
	n.settled = n.stamp.settled(at)
	switch {
	case !info.Mode().IsRegular():
		n.Err = errors.New(notRegular(info.Mode()).message)
	case before != nil && before.settled && before.stamp == n.stamp && before.Limit >= limit:
		n.Limit, n.Sum, n.Size, n.Data, n.Err = before.Limit, before.Sum, before.Size, before.Data, before.Err
	case limit > 0:
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
	kept := kept{limit: n.Limit}
	kept.text.Grow(int(min(n.stamp.size, n.Limit)))
	n.Size, err = io.Copy(io.MultiWriter(h, &kept), io.LimitReader(f, maxNamed+1))
	switch {
	case err != nil:
		return plain(err)
	case n.Size > maxNamed:
		return fmt.Errorf("is larger than the %d MiB that meshc reads", maxNamed>>20)
	}
	n.Sum = [sha256.Size]byte(h.Sum(nil))
	if n.Size <= n.Limit {
		n.Data = kept.text.String()
	}
	return nil
}

// changed reports whether the file is not what it was when n was read, or may
// not be for all that can be seen.
func (n *Named) changed() bool {
	info, err := os.Stat(n.Path)
	if err != nil {
		return n.stamp != stamp{}
	}
	return n.stamp != stampOf(info) || !n.settled
}

// kept keeps what is written to it, up to limit and no further.
type kept struct {
	limit int64
	text  strings.Builder
}

func (k *kept) Write(p []byte) (int, error) {
	if int64(k.text.Len()+len(p)) <= k.limit {
		k.text.Write(p)
	} else {
		k.limit = 0 // it will not be whole
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
