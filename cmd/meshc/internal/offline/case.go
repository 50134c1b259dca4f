package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/plugins"
)

// Case is a test of a filter, read from a txtar file: requests one after
// another, and what is expected of each.
type Case struct {
	path    string
	archive *txtar.Archive
}

// The sections of a case. CALL and CALLED are followed by the service's name.
const (
	sectionConfig   = "config"   // configuration in place of the document's
	sectionCall     = "call"     // the answer to the filter's next call
	sectionRequest  = "request"  // begins a step
	sectionAnswer   = "answer"   // what the upstream answers
	sectionUpstream = "upstream" // expected: what the upstream gets
	sectionResponse = "response" // expected: what the client gets
	sectionCalled   = "called"   // expected: what the filter's call said
	sectionLog      = "log"      // expected: what the filter logs, debug aside
	sectionMetrics  = "metrics"  // expected: what it measures
)

// ReadCase reads a case. Errors name the section that is wrong.
func ReadCase(path string) (*Case, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Case{path: path, archive: txtar.Parse(data)}
	requests, expectations, configs := 0, 0, 0
	for i, f := range c.archive.Files {
		word, service, _ := strings.Cut(f.Name, " ")
		problem := ""
		switch word {
		case sectionRequest:
			requests++
		case sectionConfig:
			if configs++; requests > 0 || configs > 1 {
				problem = "is too late, or the second; a case has one configuration, before the first request"
			}
		case sectionCall:
		case sectionAnswer, sectionUpstream, sectionResponse, sectionCalled, sectionLog, sectionMetrics:
			if word != sectionAnswer {
				expectations++
			}
			if requests == 0 {
				problem = "stands before the first request"
			}
		default:
			problem = "is not known; the sections are config, call SERVICE, request, answer, upstream, response, called SERVICE, log and metrics"
		}
		if takes := word == sectionCall || word == sectionCalled; takes != (service != "") && problem == "" {
			problem = "is followed by the name of a service"
			if !takes {
				problem = "stands alone"
			}
		}
		if problem != "" {
			return nil, fmt.Errorf("%s: section %d, %q, %s", path, i+1, f.Name, problem)
		}
	}
	if requests == 0 {
		return nil, fmt.Errorf("%s: there is no section called request", path)
	}
	if expectations == 0 {
		return nil, fmt.Errorf("%s: it expects nothing; add a section upstream, response, called SERVICE, log or metrics", path)
	}
	return c, nil
}

// Run carries the case out on a use of a kind and returns what was not as
// expected. An error means that the case could not be carried out. With
// update, the expectations become what came.
func (c *Case) Run(ctx context.Context, kind plugins.Kind, use plugins.Use, configure func(plugins.Use, string) (plugins.Use, error), update bool) (failures []string, err error) {
	sections := c.archive.Files
	if i := slices.IndexFunc(sections, func(f txtar.File) bool { return f.Name == sectionConfig }); i >= 0 {
		if use, err = configure(use, strings.TrimSuffix(string(sections[i].Data), "\n")); err != nil {
			return nil, fmt.Errorf("%s: %w", c.path, err)
		}
	}
	for _, f := range sections {
		if word, service, _ := strings.Cut(f.Name, " "); word == sectionCall && !slices.Contains(use.Clusters, service) {
			use.Clusters = append(slices.Clip(use.Clusters), service)
		}
	}
	s, err := Open(ctx, kind, use)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	defer s.Close()
	r := run{c: c, s: s, update: update}
	s.Log() // what the start said is not the first request's
	for i := 0; i < len(sections); {
		next := i + 1
		if sections[i].Name == sectionRequest {
			for next < len(sections) && sections[next].Name != sectionRequest {
				next++
			}
		}
		if err := r.step(ctx, i, next); err != nil {
			return nil, fmt.Errorf("%s: %w", c.path, err)
		}
		i = next
	}
	if update && r.changed {
		return r.failures, os.WriteFile(c.path, txtar.Format(c.archive), 0o666)
	}
	return r.failures, nil
}

// run is a case at work.
type run struct {
	c        *Case
	s        *Session
	update   bool
	changed  bool
	failures []string
}

// step carries out sections from to next: a request and what belongs to it, or
// one section before the first request.
func (r *run) step(ctx context.Context, from, next int) error {
	sections := r.c.archive.Files[from:next]
	wrong := func(i int, err error) error {
		return fmt.Errorf("section %d, %q: %w", from+i+1, sections[i].Name, err)
	}
	var answer *Message
	for i, f := range sections {
		word, service, _ := strings.Cut(f.Name, " ")
		var err error
		switch word {
		case sectionCall:
			var m *Message
			if len(bytes.TrimSpace(f.Data)) > 0 {
				m, err = ParseResponse(body(f.Data))
			}
			if err == nil {
				r.s.Answer(service, m)
			}
		case sectionAnswer:
			answer, err = ParseResponse(body(f.Data))
		}
		if err != nil {
			return wrong(i, err)
		}
	}
	if sections[0].Name != sectionRequest {
		return nil
	}
	request, err := ParseRequest(body(sections[0].Data))
	if err != nil {
		return wrong(0, err)
	}
	if answer == nil {
		answer = OK()
	}
	o := r.s.Do(ctx, request, answer)
	log := r.s.Log()
	if o.Held {
		r.fail(from, sections[0].Name, fmt.Sprintf("the filter still held the stream after %v", Patience))
	}
	for i := range sections {
		if err := r.check(from+i, &r.c.archive.Files[from+i], o, log); err != nil {
			return wrong(i, err)
		}
	}
	for _, f := range o.Faults {
		r.fail(from, sections[0].Name, fmt.Sprintf("the filter failed (%s): %s", f.Reason, f.Detail))
	}
	return nil
}

// check compares one section with what came.
func (r *run) check(at int, f *txtar.File, o Outcome, log []string) error {
	word, service, _ := strings.Cut(f.Name, " ")
	var got string
	switch word {
	case sectionUpstream:
		got = text(o.Upstream)
	case sectionResponse:
		got = text(o.Response)
		if o.Reset {
			got += "reset\n"
		}
	case sectionCalled:
		i := slices.IndexFunc(o.Calls, func(c Call) bool { return c.Service == service })
		if i >= 0 {
			got = text(o.Calls[i].Request)
			o.Calls[i].Service = "" // the next section of this name is for the next call
		}
	case sectionLog:
		for _, line := range log {
			if !strings.HasPrefix(line, "debug: ") { // what an SDK says of itself
				got += line + "\n"
			}
		}
	case sectionMetrics:
		var err error
		if got, err = r.metrics(string(f.Data)); err != nil {
			return err
		}
	default:
		return nil
	}
	want := strings.TrimSpace(strings.ReplaceAll(string(f.Data), "\r\n", "\n"))
	if want == strings.TrimSpace(got) {
		return nil
	}
	if r.update {
		f.Data, r.changed = []byte(got+"\n"), true
		return nil
	}
	r.fail(at, f.Name, fmt.Sprintf("want\n%s\ngot\n%s", indent(want), indent(strings.TrimSpace(got))))
	return nil
}

// metrics returns the lines of want with the values that the metrics have.
func (r *run) metrics(want string) (string, error) {
	list, err := r.s.Metrics()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(want) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return "", fmt.Errorf("%q is not NAME VALUE", strings.TrimSpace(line))
		}
		value := "none"
		for _, m := range list {
			if m.Name == f[0] {
				value = strconv.FormatFloat(m.Value, 'g', -1, 64)
			}
		}
		out.WriteString(f[0] + " " + value + "\n")
	}
	return out.String(), nil
}

func (r *run) fail(at int, name, problem string) {
	r.failures = append(r.failures, fmt.Sprintf("%s: section %d, %q: %s", r.c.path, at+1, name, problem))
}

// body is a section without the empty line that stands before the next one.
func body(data []byte) []byte {
	if head, rest, ok := bytes.Cut(data, []byte("\n\n")); ok {
		return append(append(append([]byte(nil), head...), "\n\n"...), bytes.TrimRight(rest, "\n")...)
	}
	return bytes.TrimRight(data, "\n")
}

// OK is the answer of an upstream that is told nothing.
func OK() *Message {
	m := &Message{}
	m.Headers.Add(":status", "200")
	m.Headers.Add("content-length", "0")
	return m
}

func text(m *Message) string {
	if m == nil {
		return ""
	}
	return m.String()
}

func indent(s string) string {
	if s == "" {
		return "    (nothing)"
	}
	return "    " + strings.ReplaceAll(s, "\n", "\n    ")
}

// ErrNoCases says that a folder holds no case.
var ErrNoCases = errors.New("there is no .txtar file")
