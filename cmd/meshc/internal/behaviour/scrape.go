//go:build linux

package behaviour

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// scrape asks for metrics until there is a line for each expression: a data
// plane may count a request after it has answered it.
func (t *transcript) scrape(s step) error {
	var missing string
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		shown := t.network.Get("http://" + s.args[0])
		missing = ""
		for line := range strings.Lines(s.text) {
			expr, err := regexp.Compile(`(?m)^` + strings.TrimSpace(line) + `$`)
			if err != nil {
				return err
			}
			if !expr.MatchString(shown) {
				missing += "\n  " + strings.TrimSpace(line)
			}
		}
		if missing == "" {
			return nil
		}
		if time.Now().After(deadline) {
			t.report(s, fmt.Sprintf("no line for%s\nin:\n%s", missing, shown))
			return nil
		}
	}
}

// metric waits for a metric to have a value; it may be shown with delay.
func (t *transcript) metric(s step) error {
	want := strings.TrimSpace(s.text)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := "not there"
		if n, there := t.metrics.sum(s.args[0]); there {
			got = strconv.FormatFloat(n, 'f', -1, 64)
		}
		if got == want || time.Now().After(deadline) {
			t.compare(s, got)
			return nil
		}
	}
}
