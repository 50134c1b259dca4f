//go:build linux

package behaviour

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// checkCounts compares which backends served the requests repeated last. At last,
// these are sent again until it is so.
func (t *transcript) checkCounts(s step) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		problems, err := miscounts(s.text, t.counts)
		if err != nil {
			return err
		}
		if len(problems) == 0 || len(s.args) == 0 || time.Now().After(deadline) {
			for _, p := range problems {
				t.report(s, p)
			}
			return nil
		}
		if err := t.repeat(t.lot); err != nil {
			return err
		}
	}
}

// miscounts holds counts against lines "NAME[|NAME]… COUNT[..COUNT]"; no other
// backend may have served.
func miscounts(want string, counts map[string]int) (problems []string, err error) {
	left := map[string]int{}
	for name, n := range counts {
		left[name] = n
	}
	for line := range strings.Lines(want) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return nil, fmt.Errorf("%q is not NAME COUNT", strings.TrimSpace(line))
		}
		low, high, isRange := strings.Cut(f[1], "..")
		if !isRange {
			high = low
		}
		lo, err1 := strconv.Atoi(low)
		hi, err2 := strconv.Atoi(high)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		sum, servers := 0, 0
		for name := range strings.SplitSeq(f[0], "|") {
			if left[name] > 0 {
				sum, servers = sum+left[name], servers+1
			}
			delete(left, name)
		}
		if sum < lo || sum > hi || servers > 1 {
			problems = append(problems, fmt.Sprintf("%s: want %s, got %v", f[0], f[1], counts))
		}
	}
	if len(left) > 0 {
		problems = append(problems, fmt.Sprintf("served by others: %v", left))
	}
	return problems, nil
}
