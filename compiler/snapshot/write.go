package snapshot

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// A snapshot file is a tar archive of three entries, in this order. It needs
// nothing but tar and a text editor to be looked into.
const (
	entryFormat   = "meshc-snapshot" // the line formatLine
	entrySnapshot = "snapshot.json"  // the Snapshot without its origins
	entryOrigins  = "origins.json"   // the Snapshot's Origins
)

// formatLine changes with every change of the format that an older meshc would
// misread.
const formatLine = "meshc-snapshot 2\n"

// maxEntry bounds one entry of a snapshot file, in bytes.
const maxEntry = 1 << 30

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
		if len(e.data) > maxEntry {
			return fmt.Errorf("snapshot: write: %s has %d bytes, more than the %d that Read takes", e.name, len(e.data), maxEntry)
		}
		h := tar.Header{
			Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
			Name: e.name, Size: int64(len(e.data)), Mode: 0o644, ModTime: time.Unix(0, 0),
		}
		if err := t.WriteHeader(&h); err != nil {
			return fmt.Errorf("snapshot: write %s: %w", e.name, err)
		}
		if _, err := t.Write(e.data); err != nil {
			return fmt.Errorf("snapshot: write %s: %w", e.name, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("snapshot: write: %w", err)
	}
	return nil
}
