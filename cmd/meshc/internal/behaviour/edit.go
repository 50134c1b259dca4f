//go:build linux

package behaviour

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// edit writes a file of the input tree while it is served.
func (t *transcript) edit(s step) error {
	return writeInput(t.dir, s.args[0], s.text, t.logs, t.certs)
}

// certify makes a certificate anew, as the section says or else as the one
// before.
func (t *transcript) certify(s step) error {
	for _, d := range t.c.certs {
		if d.name != s.args[0] {
			continue
		}
		if f := strings.Fields(s.text); len(f) > 0 {
			d.ca, d.names = f[0], f[1:]
		}
		return t.certs.make(d)
	}
	return errors.New("it is not declared")
}

// peer compares what the server of the connection showed.
func (t *transcript) peer(s step) error {
	got, err := peer(t.conn)
	if err == nil {
		t.compare(s, got)
	}
	return err
}

// diagnostics waits for meshc to show these findings about its input.
func (t *transcript) diagnostics(s step) error {
	want := strings.TrimSpace(s.text)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var shown struct {
			Diagnostics []struct {
				Code, Severity, File string
				Line                 int
			}
		}
		if err := t.rest("/meshc/diagnostics", &shown); err != nil {
			return err
		}
		var lines []string
		for _, d := range shown.Diagnostics {
			lines = append(lines, fmt.Sprintf("%s %s %s:%d", d.Code, d.Severity, strings.TrimPrefix(d.File, t.dir+"/"), d.Line))
		}
		got := strings.Join(lines, "\n")
		if got == want || t.update != nil || time.Now().After(deadline) {
			t.compare(s, got)
			return nil
		}
	}
}

// snapshots compares how many different snapshots have served.
func (t *transcript) snapshots(s step) error {
	var shown []struct{ Version string }
	if err := t.rest("/meshc/reloads", &shown); err != nil {
		return err
	}
	versions := map[string]bool{}
	for _, r := range shown {
		versions[r.Version] = true
	}
	t.compare(s, strconv.Itoa(len(versions)))
	return nil
}

// rest decodes one of meshc's own views.
func (t *transcript) rest(path string, into any) error {
	return json.Unmarshal([]byte(t.network.Get("http://"+t.metrics.rest+path)), into)
}

// refused wants nobody to listen at an address.
func (t *transcript) refused(s step) error {
	c, err := t.network.Dial(t.target(s.args[0]))
	if err == nil {
		c.Close()
		t.report(s, "somebody listens")
	} else if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return nil
}
