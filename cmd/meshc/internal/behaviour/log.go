//go:build linux

package behaviour

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// keepLines keeps the lines that come on c.
func (b *Backend) keepLines(c net.Conn) {
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if line != "" {
			b.change(func() { b.lines = append(b.lines, line) })
		}
		if err != nil {
			return
		}
	}
}

// changing is what is another in each run: times, how long something took,
// random identifiers, and this machine at the end of a line. In lines of the usual formats the duration has no name.
var changing = []struct {
	found *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`(HTTP/[0-9.]+" \d+ \S+ \d+ \d+) \d+ `), "$1 MS "},
	{regexp.MustCompile(`took \d+ms`), "took MS"},
	{regexp.MustCompile(" on " + regexp.QuoteMeta(hostname) + "\n"), " on HOSTNAME\n"},
}

var hostname, _ = os.Hostname()

// log expects lines in a log, after those that were expected before.
func (t *transcript) log(s step) {
	name := s.args[0]
	want := strings.Count(s.text, "\n")
	if t.logged == nil {
		t.logged = map[string]int{}
	}
	var lines []string
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if b := t.backends[name]; b != nil && (b.kind == "lines" || b.kind == "spans") {
			b.mu.Lock()
			lines = append(lines[:0], b.lines...)
			b.mu.Unlock()
		} else {
			text, _ := os.ReadFile(filepath.Join(t.logs, name)) // it may not be there yet
			lines = strings.SplitAfter(string(text), "\n")
			lines = lines[:len(lines)-1]
		}
		lines = lines[min(t.logged[name], len(lines)):]
		if len(lines) >= want || time.Now().After(deadline) {
			break
		}
	}
	t.logged[name] += len(lines)
	for i := range lines {
		for _, c := range changing {
			lines[i] = c.found.ReplaceAllString(lines[i], c.shown)
		}
	}
	if b := t.backends[name]; b != nil && b.kind == "spans" {
		slices.Sort(lines) // they come when it suits who sends them
	}
	got := strings.Join(lines, "")
	t.compare(s, strings.TrimSuffix(got, "\n"))
}
