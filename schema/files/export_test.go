package files

import "time"

// Probe calls do between one pass over the tree and the next, with the number
// of passes made, until the Reader ends.
func Probe(r *Reader, do func(pass int)) *Reader {
	passes := 0
	r.afterPass = func() {
		passes++
		do(passes)
	}
	return r
}

// Patient sets how long r waits for a file that has just been emptied.
func Patient(r *Reader, d time.Duration) *Reader {
	r.patience = d
	return r
}
