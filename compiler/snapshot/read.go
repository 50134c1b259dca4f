package snapshot

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ErrNotSnapshot says that what was given to Read is no snapshot file at all,
// so that a caller may take it for something else.
var ErrNotSnapshot = errors.New("not a meshc snapshot file")

// Read reads a snapshot file that Write wrote. It takes nothing on trust: every
// digest and the version are computed again. A file that is not one gives
// ErrNotSnapshot; a damaged one, or one of another format, an error that says so.
func Read(r io.Reader) (Snapshot, error) {
	s, err := read(tar.NewReader(r))
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot: read: %w", err)
	}
	return s, nil
}

func read(t *tar.Reader) (Snapshot, error) {
	format, err := readEntry(t, entryFormat)
	if err != nil {
		return Snapshot{}, err
	}
	if string(format) != formatLine {
		return Snapshot{}, fmt.Errorf("its format is %s; this meshc reads %q: build it again",
			quote(string(bytes.TrimSuffix(format, []byte("\n")))), formatLine[:len(formatLine)-1])
	}
	var s Snapshot
	if err := readJSON(t, entrySnapshot, &s); err != nil {
		return Snapshot{}, err
	}
	if s.Origins.Len() > 0 {
		return Snapshot{}, fmt.Errorf("damaged: %s holds origins", entrySnapshot)
	}
	if err := readJSON(t, entryOrigins, &s.Origins); err != nil {
		return Snapshot{}, err
	}
	if _, err := t.Next(); err != io.EOF {
		return Snapshot{}, fmt.Errorf("damaged: something follows %s", entryOrigins)
	}
	return s, s.verify()
}

// readEntry returns the next entry, which must be a plain file called name.
func readEntry(t *tar.Reader, name string) ([]byte, error) {
	first := name == entryFormat
	h, err := t.Next()
	switch {
	case first && (err != nil || h.Name != name):
		return nil, ErrNotSnapshot
	case err == io.EOF:
		return nil, fmt.Errorf("damaged: it ends before %s", name)
	case err != nil:
		return nil, fmt.Errorf("damaged: before %s: %w", name, err)
	case h.Name != name:
		return nil, fmt.Errorf("damaged: %s where %s should be", quote(h.Name), name)
	case h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR:
		// The other formats have sparse files: gigabytes from a few bytes.
		return nil, fmt.Errorf("damaged: %s is not a plain ustar file", name)
	case h.Size > maxEntry:
		return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d", name, h.Size, maxEntry)
	}
	b, err := io.ReadAll(t)
	if err != nil {
		return nil, fmt.Errorf("damaged: %s: %w", name, err)
	}
	return b, nil
}

// readJSON reads the next entry into v. A field that v does not have is an
// error: no digest would cover it.
func readJSON(t *tar.Reader, name string, v any) error {
	b, err := readEntry(t, name)
	if err != nil {
		return err
	}
	if err := unmarshalStrict(b, v); err != nil {
		return fmt.Errorf("damaged: %s: %w", name, err)
	}
	return nil
}

// unmarshalStrict reads one JSON value, refusing fields that v does not have.
func unmarshalStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// verify computes all digests of s again, from the inside out, and looks
// whether what should be sorted is: consumers search in it.
func (s Snapshot) verify() error {
	for _, p := range s.Proxies.All() {
		for _, l := range p.Listeners.All() {
			if err := verify(l.VirtualHosts); err != nil {
				return fmt.Errorf("proxy %s: listener %s: %w", quote(p.ID), quote(l.Name), err)
			}
		}
		if err := verify(p.Listeners); err != nil {
			return fmt.Errorf("proxy %s: %w", quote(p.ID), err)
		}
	}
	if err := cmp.Or(verify(s.Proxies), verify(s.Clusters), verify(s.Endpoints), verify(s.Documents)); err != nil {
		return err
	}
	if s.Version != s.Sum() {
		return errors.New("damaged: the content does not match the version")
	}
	return cmp.Or(
		ascending("proxies", s.Proxies, func(p Proxy) string { return p.ID }),
		ascending("clusters", s.Clusters, func(c Cluster) string { return c.Name }),
		ascending("endpoints", s.Endpoints, func(e EndpointSet) string { return e.Name }),
		ascending("documents", s.Documents, func(d Document) string { return d.ID }),
	)
}

// ascending gives an error unless each key in l is greater than the one before.
func ascending[T any](what string, l List[T], key func(T) string) error {
	for i := 1; i < l.Len(); i++ {
		if key(l.At(i-1)) >= key(l.At(i)) {
			return fmt.Errorf("damaged: %s are not sorted: %s follows %s", what, quote(key(l.At(i))), quote(key(l.At(i-1))))
		}
	}
	return nil
}

func verify[T element[T]](l List[T]) error {
	for _, e := range l.All() {
		if e.digest() != e.Sum() {
			return fmt.Errorf("damaged: %s does not match its digest", e.label())
		}
	}
	return nil
}

// quote writes a name from a file so that it cannot disturb a terminal.
func quote(s string) string {
	const limit = 100
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strconv.Quote(s)
}
