package schema

import "bytes"

// Entries returns the entries of a cache.
func Entries(content string, p Program) (out []string) {
	pack := openPack(content, p)
	for i := range pack.len() {
		_, entry, _, _ := pack.at(i)
		out = append(out, entry)
	}
	return out
}

// Forge returns a cache with the keys of another, all with one entry, and with
// the checksums that it should have.
func Forge(content string, p Program, entry string) string {
	pack, all := openPack(content, p), map[cacheKey]string{}
	for i := range pack.len() {
		key, _, _, _ := pack.at(i)
		all[key] = entry
	}
	var b bytes.Buffer
	if err := pack.writeWith(&b, p, all); err != nil {
		panic(err) // a Buffer does not fail
	}
	return b.String()
}
