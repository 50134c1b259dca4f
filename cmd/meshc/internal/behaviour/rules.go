//go:build linux

package behaviour

import (
	"cmp"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

//go:embed allowed.txt
var allowed string

// Rules are the lines of allowed.txt for one data plane.
type Rules struct {
	rules []*rule
}

// rule is one line; allowed.txt says what its words mean.
type rule struct {
	line   int
	text   string
	action string
	plane  string // proxy, envoy, both
	where  string // request, answer
	status string // of the answers it is for; "" for all
	name   string
	value  string // that the field must have; "" for any
	hit    atomic.Bool
}

// allRules is made once, so that use can be counted over the whole run.
var allRules = sync.OnceValues(func() ([]*rule, error) { return parseRules(allowed) })

func parseRules(text string) ([]*rule, error) {
	actions := []string{"value", "lower", "join", "drop", "last", "body", "reason", "version", "reset", "hash"}
	var rules []*rule
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		what, reason, _ := strings.Cut(line, " #")
		f := strings.Fields(what)
		if len(f) != 4 || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("allowed.txt:%d: want ACTION PLANE WHERE NAME # reason", n)
		}
		r := &rule{line: n, text: strings.Join(f, " "), action: f[0], plane: f[1]}
		r.where, r.status, _ = strings.Cut(f[2], "=")
		r.name, r.value, _ = strings.Cut(f[3], "=")
		if !slices.Contains(actions, r.action) ||
			!slices.Contains([]string{"proxy", "envoy", "both"}, r.plane) ||
			!slices.Contains([]string{"request", "answer"}, r.where) {
			return nil, fmt.Errorf("allowed.txt:%d: unknown word in %q", n, r.text)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// RulesFor returns what is allowed for a data plane, "proxy" or "envoy".
func RulesFor(plane string) (*Rules, error) {
	all, err := allRules()
	if err != nil {
		return nil, err
	}
	rs := &Rules{}
	for _, r := range all {
		if r.plane == plane || r.plane == "both" {
			rs.rules = append(rs.rules, r)
		}
	}
	return rs, nil
}

// UnusedRules lists the lines of allowed.txt that have allowed nothing so far.
func UnusedRules() []string {
	all, err := allRules()
	if err != nil {
		return []string{err.Error()}
	}
	var unused []string
	for _, r := range all {
		if !r.hit.Load() {
			unused = append(unused, fmt.Sprintf("allowed.txt:%d: %s", r.line, r.text))
		}
	}
	return unused
}

func (rs *Rules) request(m *Message) string { return rs.apply("request", m) }
func (rs *Rules) answer(m *Message) string  { return rs.apply("answer", m) }

// apply shows m with everything that is allowed to differ made equal.
func (rs *Rules) apply(where string, m *Message) string {
	if rs == nil {
		return m.String()
	}
	n := *m
	n.Header = slices.Clone(m.Header)
	hiddenBody := false
	for _, r := range rs.rules {
		if r.where != where || r.status != "" && r.status != strconv.Itoa(m.status()) {
			continue
		}
		hit := false
		switch r.action {
		case "version":
			var after string
			if after, hit = strings.CutPrefix(n.Start, r.name+" "); hit {
				n.Start = "HTTP/1.1 " + after
			}
		case "reset":
			if hit = n.Reset == "reset "+r.name; hit {
				n.Reset = "reset CANCEL"
			}
		case "reason":
			protocol, _, _ := strings.Cut(n.Start, " ")
			n.Start, hit = protocol+" "+r.status+" *", true
		case "body":
			// Only a reply that a data plane made itself: backends sign theirs.
			if m.get("x-backend") == "" {
				hiddenBody, hit = true, true
				n.Header = slices.DeleteFunc(n.Header, func(f Field) bool {
					return f.Name == "content-length" || f.Name == "content-type"
				})
			}
		case "last":
			slices.SortStableFunc(n.Header, func(a, b Field) int {
				return cmp.Compare(r.matches(a), r.matches(b))
			})
			hit = slices.ContainsFunc(n.Header, func(f Field) bool { return r.matches(f) == 1 })
		default:
			n.Header, hit = r.fields(n.Header)
		}
		if hit {
			r.hit.Store(true)
		}
	}
	if hiddenBody {
		n.Body = nil
		return n.String() + "body *\n"
	}
	return n.String()
}

// matches is 1 for the fields that the rule is for, and 0 for others.
func (r *rule) matches(f Field) int {
	if f.Name == r.name && (r.value == "" || r.value == f.Value) {
		return 1
	}
	return 0
}

// hashes are numbers of 64 bits, in hexadecimal digits.
var hashes = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// fields applies the rule to each field it is for.
func (r *rule) fields(in []Field) (out []Field, hit bool) {
	first := -1 // where in out the first of them is
	for _, f := range in {
		if r.matches(f) == 0 {
			out = append(out, f)
			continue
		}
		hit = true
		switch r.action {
		case "value":
			f.Value = "*"
		case "hash":
			f.Value = hashes.ReplaceAllString(f.Value, "*")
		case "lower":
			f.Value = strings.ToLower(f.Value)
		case "drop":
			continue
		case "join":
			if first >= 0 {
				out[first].Value += "," + f.Value
				continue
			}
			first = len(out)
		}
		out = append(out, f)
	}
	return out, hit
}
