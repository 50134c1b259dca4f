package snapshot

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// A snapshot file is a tar archive of these entries, in this order. It needs
// nothing but tar and a text editor to be looked into.
const (
	entryFormat   = "meshc-snapshot" // the line formatLine
	entrySnapshot = "snapshot.json"  // the Snapshot without its origins and what blobs hold
	entryOrigins  = "origins.json"   // the Snapshot's Origins
	entryBlobs    = "blobs/"         // and its digest: an entry for each blob, in their order
)

// formatLine changes with every change of the format that an older meshc would
// misread.
const formatLine = "meshc-snapshot 5\n"

// maxEntry bounds one entry of a snapshot file, and all its blobs together, in bytes.
const maxEntry = 1 << 30

// MaxBlob bounds the data of one blob, in bytes.
const MaxBlob = 64 << 20

// Write writes s to w as a snapshot file. s must be sealed. The same snapshot
// gives the same bytes, whatever the machine and the time.
func Write(w io.Writer, s Snapshot) error {
	if s.Version.IsZero() {
		return errors.New("snapshot: write: it has no version: Seal it first")
	}
	origins, err := json.Marshal(s.Origins)
	if err != nil {
		return fmt.Errorf("snapshot: write origins: %w", err)
	}
	s.Origins = List[Origin]{}
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("snapshot: write: %w", err)
	}
	t := tar.NewWriter(w)
	for _, e := range []struct {
		name string
		data []byte
	}{
		{entryFormat, []byte(formatLine)},
		{entrySnapshot, append(body, '\n')},
		{entryOrigins, append(origins, '\n')},
	} {
		if err := writeEntry(t, e.name, string(e.data), maxEntry); err != nil {
			return err
		}
	}
	room := maxEntry
	for _, b := range s.Blobs.All() {
		if err := writeEntry(t, entryBlobs+b.Digest.String(), b.Data, min(room, MaxBlob)); err != nil {
			return err
		}
		room -= len(b.Data)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("snapshot: write: %w", err)
	}
	return nil
}

func writeEntry(t *tar.Writer, name, data string, limit int) error {
	if len(data) > limit {
		return fmt.Errorf("snapshot: write: %s has %d bytes, more than the %d that Read takes", name, len(data), limit)
	}
	h := tar.Header{
		Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
		Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(0, 0),
	}
	if err := t.WriteHeader(&h); err != nil {
		return fmt.Errorf("snapshot: write %s: %w", name, err)
	}
	if _, err := io.WriteString(t, data); err != nil {
		return fmt.Errorf("snapshot: write %s: %w", name, err)
	}
	return nil
}
