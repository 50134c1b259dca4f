package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 1 << 20

// secret is one secret of a snapshot, with what it is now.
type secret struct {
	of    snapshot.Secret
	roots []string // for a relative path
	value atomic.Pointer[Value]
	stamp stamp // of the file when it was read; the Store's lock guards it
	// problem says why what the source holds now cannot be read; value is then
	// what it held before. The Store's lock guards it.
	problem string
}

// follows reports whether the value may change while the snapshot stays.
func (s *secret) follows() bool { return s.of.File != "" || s.of.Env != "" }

// stamp tells one state of a file from another, as far as that can be told
// without reading it.
type stamp struct {
	info    os.FileInfo
	settled bool // the file was old when it was read: a later write shows
}

// settling is how old a file must be for its times to show that it has not been
// written since: some file systems count in seconds.
const settling = 2 * time.Second

func (s stamp) same(info os.FileInfo) bool {
	return s.info != nil && s.settled && os.SameFile(s.info, info) && s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime())
}

// read looks at the source again and reports whether the value is another now.
func (s *secret) read(now time.Time) (changed bool, err error) {
	var data []byte
	switch {
	case s.of.File != "":
		path, err := locate(s.roots, s.of.File)
		if err != nil {
			return false, err
		}
		info, err := os.Stat(path)
		if err == nil && s.stamp.same(info) {
			return false, nil
		}
		if data, err = readFile(path); err != nil {
			s.stamp = stamp{}
			return false, err
		}
		if info != nil {
			s.stamp = stamp{info, now.Sub(info.ModTime()) > settling}
		}
	case s.of.Env != "":
		text, set := os.LookupEnv(s.of.Env)
		if !set {
			return false, fmt.Errorf("the environment variable %s is not set", s.of.Env)
		}
		data = []byte(text)
	default:
		if data, err = base64.StdEncoding.DecodeString(string(s.of.Data)); err != nil {
			return false, errors.New("its data is not base64")
		}
	}
	if len(data) == 0 {
		return false, errors.New("it is empty")
	}
	if old := s.value.Load(); old != nil {
		if bytes.Equal(old.Bytes, data) {
			return false, nil
		}
		// Half a file, or another one by mistake, must not take the place of
		// what works: an Envoy that is sent it refuses all that comes after.
		if isPEM(old.Bytes) && !isPEM(data) {
			return false, errors.New("it holds certificates or a key no longer")
		}
	}
	s.value.Store(newValue(data))
	return true, nil
}

// isPEM reports whether data is blocks of PEM of which the certificates can be read.
func isPEM(data []byte) bool {
	blocks := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return false
			}
		}
		blocks++
	}
	return blocks > 0
}

// versions numbers the Values of the process: a digest would tell a short
// secret to whoever guesses.
var versions atomic.Uint64

func newValue(data []byte) *Value {
	return &Value{Bytes: data, Version: strconv.FormatUint(versions.Add(1), 10)}
}

// readFile reads a file of at most maxSecret bytes. The error names the path
// and nothing of the content.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the file %s: %w", path, plain(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file %s: %w", path, plain(err))
	case len(data) > maxSecret:
		return nil, fmt.Errorf("the file %s is larger than %d bytes", path, maxSecret)
	}
	return data, nil
}

// plain returns err without the path, which stands before it.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// locate returns where a path of a snapshot leads: a relative one must be below
// one root, and not below two.
func locate(roots []string, path string) (string, error) {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return path, nil
	}
	found := ""
	for _, root := range roots {
		full := filepath.Join(root, path)
		if _, err := os.Stat(full); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if found != "" && found != full {
			return "", fmt.Errorf("the file %s is in %s and in %s: name it by its absolute path", path, filepath.Dir(found), filepath.Dir(full))
		}
		found = full
	}
	if found == "" {
		return "", fmt.Errorf("the file %s does not exist", path)
	}
	return found, nil
}
