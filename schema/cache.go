package schema

import (
	"crypto/sha256"
	"io"
	"path/filepath"
	"strconv"

	"github.com/meshc/meshc/schema/diag"
)

// Cache keeps what Loaders make of files from one run of the program to the
// next. Nothing is lost with it but time, and nothing in it is believed that is
// not whole and written by the same program. It is for one Loader at a time; a
// nil Cache is empty and stays so.
type Cache struct {
	program Program
	before  pack
	entries map[cacheKey]string // used or made in this run
	grew    bool
}

// Program identifies the program that writes a cache. Any change of the rules,
// of how they are checked or of how results are written down is another
// program.
type Program [sha256.Size]byte

// cacheKey is what a result depends on, digested. The zero key is of what is
// not cached.
type cacheKey [sha256.Size]byte

// NewCache returns the cache that was written as content, or an empty one if
// that is anything but a whole cache of the same program.
func NewCache(content string, p Program) *Cache {
	before := openPack(content, p)
	return &Cache{program: p, before: before, entries: make(map[cacheKey]string, before.len())}
}

// Changed reports whether there is something new to write.
func (c *Cache) Changed() bool { return c.grew }

// Write writes the cache: what was used since it was made, and what was not
// used for a little while only. It holds the content of documents, secrets
// included.
func (c *Cache) Write(w io.Writer) error {
	return c.before.writeWith(w, c.program, c.entries)
}

// key returns the key of j. Names are part of it, for findings and documents
// hold them, and the name says how a file is read.
func (c *Cache) key(j *job, o *outside) cacheKey {
	cue := isCUE(j.files[0].Name)
	if c == nil || cue && o.open {
		return cacheKey{}
	}
	var room [512]byte
	b := room[:0]
	for _, f := range j.files {
		b = append(append(append(b, f.Name...), 0), f.Shown...)
		b = append(append(b, 0), f.Sum[:]...)
		b = strconv.AppendBool(b, f.Named)
	}
	if cue {
		b = append(append(b, filepath.Dir(absolute(j.files[0]))...), 0)
		b = append(b, o.sum[:]...)
	}
	return sha256.Sum256(b)
}

// read takes the results of j from the cache, if they are there. Several jobs
// may be read at once.
func (c *Cache) read(j *job) bool {
	if c == nil || j.key == (cacheKey{}) {
		return false
	}
	entry, ok := c.before.find(j.key)
	if ok {
		j.out, ok = decodeResults(entry, j.files)
	}
	if ok {
		j.entry, j.known = entry, true
	}
	return ok
}

// write notes the results of j in j, in the form that the cache keeps. Findings
// of CUE are not kept: some are about time, not about the files.
func (c *Cache) write(j *job) {
	if c == nil || j.key == (cacheKey{}) {
		return
	}
	if isCUE(j.files[0].Name) {
		for _, r := range j.out {
			for _, d := range r.diagnostics {
				if d.Code == diag.CodeCUE {
					return
				}
			}
		}
	}
	j.entry = encodeResults(j.out)
}

// add takes up what read or write have left in j.
func (c *Cache) add(j *job) {
	if c == nil || j.entry == "" {
		return
	}
	c.entries[j.key] = j.entry
	c.grew = c.grew || !j.known
}
