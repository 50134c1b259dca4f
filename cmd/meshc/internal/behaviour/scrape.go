//go:build linux

package behaviour

import (
	"fmt"
	"regexp"
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
