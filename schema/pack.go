package schema

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"unsafe"
)

// A pack is the one file of a cache:
//
//	magic, program
//	index length in entries, as 8 bytes
//	index: for each entry, sorted by key: key, offset, length, checksum, age
//	checksum of all that stands before it
//	entries, one behind the other
//
// Numbers are little endian, checksums CRC-32C: they are there to notice
// damage. Who may write the file may also run programs as its owner.
type pack struct {
	index   string
	entries string
}

const (
	packMagic = "meshc cache 1\n"
	packHead  = len(packMagic) + len(Program{}) + 8
	// An index entry has its key, then 8 bytes of offset, 4 of length, 4 of
	// checksum and 4 of age.
	keySize   = len(cacheKey{})
	indexSize = keySize + 8 + 4 + 4 + 4
	// maxAge is how many times a pack is written with an entry that nobody
	// asked for since.
	maxAge = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openPack returns the pack in content, or an empty one if that is none of the
// same program.
func openPack(content string, p Program) pack {
	rest, ok := strings.CutPrefix(content, packMagic+string(p[:]))
	if !ok || len(rest) < 8 {
		return pack{}
	}
	n := number64(rest)
	rest = rest[8:]
	if n > uint64(len(rest)/indexSize) || len(rest) < int(n)*indexSize+4 {
		return pack{}
	}
	end := packHead + int(n)*indexSize
	if number32(content[end:]) != checksum(content[:end]) {
		return pack{}
	}
	return pack{index: content[packHead:end], entries: content[end+4:]}
}

func number32(s string) uint32 { return binary.LittleEndian.Uint32([]byte(s[:4])) }
func number64(s string) uint64 { return binary.LittleEndian.Uint64([]byte(s[:8])) }

// checksum looks at s in place: a copy of each entry would cost as much as all
// the rest of looking it up.
func checksum(s string) uint32 {
	return crc32.Checksum(unsafe.Slice(unsafe.StringData(s), len(s)), castagnoli)
}

func (p pack) len() int { return len(p.index) / indexSize }

// at returns entry i, if it is whole.
func (p pack) at(i int) (key cacheKey, entry string, age uint32, ok bool) {
	line := p.index[i*indexSize:][:indexSize]
	key = cacheKey([]byte(line[:keySize]))
	line = line[keySize:]
	offset, length, sum := number64(line), uint64(number32(line[8:])), number32(line[12:])
	if offset > uint64(len(p.entries)) || length > uint64(len(p.entries))-offset {
		return key, "", 0, false
	}
	entry = p.entries[offset:][:length]
	return key, entry, number32(line[16:]), checksum(entry) == sum
}

// find returns the entry of key, if it is there and whole.
func (p pack) find(key cacheKey) (string, bool) {
	want := string(key[:])
	i := sort.Search(p.len(), func(i int) bool { return p.index[i*indexSize:][:keySize] >= want })
	if i == p.len() {
		return "", false
	}
	k, entry, _, ok := p.at(i)
	return entry, ok && k == key
}

// writeWith writes a pack of the entries given and of those of p that are not
// too old.
func (p pack) writeWith(w io.Writer, program Program, entries map[cacheKey]string) error {
	all := maps.Clone(entries)
	ages := map[cacheKey]uint32{}
	for i := range p.len() {
		key, entry, age, ok := p.at(i)
		if _, used := all[key]; ok && !used && age < maxAge {
			all[key], ages[key] = entry, age+1
		}
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b cacheKey) int { return bytes.Compare(a[:], b[:]) })
	head := make([]byte, 0, packHead+len(keys)*indexSize+4)
	head = append(append(head, packMagic...), program[:]...)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(keys)))
	var offset uint64
	for _, k := range keys {
		head = append(head, k[:]...)
		head = binary.LittleEndian.AppendUint64(head, offset)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(all[k])))
		head = binary.LittleEndian.AppendUint32(head, checksum(all[k]))
		head = binary.LittleEndian.AppendUint32(head, ages[k])
		offset += uint64(len(all[k]))
	}
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	b := bufio.NewWriter(w)
	b.Write(head) // what goes wrong is told by Flush
	for _, k := range keys {
		b.WriteString(all[k])
	}
	return b.Flush()
}
