package snapshot

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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
	format, err := readEntry(t, entryFormat, maxEntry)
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
	if err := s.readBlobs(t); err != nil {
		return Snapshot{}, err
	}
	if _, err := t.Next(); err != io.EOF {
		return Snapshot{}, errors.New("damaged: something follows its last entry")
	}
	return s, s.verify()
}

// readBlobs fills in the data of the blobs that s lists.
func (s *Snapshot) readBlobs(t *tar.Reader) error {
	blobs, room := s.Blobs.Slice(), maxEntry
	for i := range blobs {
		data, err := readEntry(t, entryBlobs+blobs[i].Digest.String(), min(room, MaxBlob))
		if err != nil {
			return err
		}
		blobs[i].Data = string(data)
		room -= len(data)
	}
	s.Blobs = List[Blob]{items: blobs}
	return nil
}

// readEntry returns the next entry, which must be a plain file called name, of
// at most limit bytes.
func readEntry(t *tar.Reader, name string, limit int) ([]byte, error) {
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
	case h.Size > int64(limit):
		return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d", name, h.Size, limit)
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
	b, err := readEntry(t, name, maxEntry)
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
// whether what should be sorted is, for consumers search in it, and whether the
// blobs are those that filters run.
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
	if err := cmp.Or(verify(s.Proxies), verify(s.Clusters), verify(s.Endpoints), verify(s.Documents), verify(s.Blobs), verify(s.Authorities), verify(s.Secrets)); err != nil {
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
		ascending("blobs", s.Blobs, func(b Blob) string { return b.Digest.String() }),
		ascending("authorities", s.Authorities, func(a Authority) string { return a.ID }),
		ascending("secrets", s.Secrets, func(x Secret) string { return x.ID }),
		s.verifyBlobs(),
	)
}

// verifyBlobs gives an error unless each blob is run by a filter, and what
// filters run is there.
func (s Snapshot) verifyBlobs() error {
	run := make(map[Digest]bool, s.Blobs.Len())
	for _, b := range s.Blobs.All() {
		run[b.Digest] = false
	}
	for l, f := range s.filters() {
		if f.Blob.IsZero() {
			continue
		}
		if _, there := run[f.Blob]; !there {
			return fmt.Errorf("damaged: listener %s: filter %s runs a blob that is not there", quote(l.Name), quote(f.Name))
		}
		run[f.Blob] = true
	}
	for _, b := range s.Blobs.All() {
		if !run[b.Digest] {
			return fmt.Errorf("damaged: no filter runs %s", b.label())
		}
	}
	return nil
}

// filters iterates over the filters of all listeners.
func (s Snapshot) filters() iter.Seq2[*Listener, *Filter] {
	return func(yield func(*Listener, *Filter) bool) {
		for i := range s.Proxies.items {
			listeners := s.Proxies.items[i].Listeners.items
			for j := range listeners {
				filters := listeners[j].Filters.items
				for k := range filters {
					if !yield(&listeners[j], &filters[k]) {
						return
					}
				}
			}
		}
	}
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
