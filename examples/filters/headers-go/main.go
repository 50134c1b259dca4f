// Headers rewrites the headers of requests and responses, as its configuration
// says.
package main

import (
	"errors"
	"strings"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

// rule is one line of the configuration: what becomes of one header.
type rule struct {
	verb, name, value string
}

// parse reads the configuration, one rule a line:
//
//	request|response remove NAME
//	request|response set|add NAME VALUE
//
// Empty lines, and those that begin with #, say nothing.
func parse(text string) (request, response []rule, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		side, rest, _ := strings.Cut(line, " ")
		verb, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
		name, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		r := rule{verb, name, strings.TrimSpace(value)}
		switch {
		case r.name == "":
			return nil, nil, errors.New("a rule names no header")
		case r.verb == "remove" && r.value != "":
			return nil, nil, errors.New("a rule that removes a header has a value")
		case r.verb != "remove" && r.verb != "set" && r.verb != "add":
			return nil, nil, errors.New("a rule says neither remove, set nor add")
		}
		switch side {
		case "request":
			request = append(request, r)
		case "response":
			response = append(response, r)
		default:
			return nil, nil, errors.New("a rule begins neither with request nor with response")
		}
	}
	return request, response, nil
}

func init() {
	sdk.Register(func(p *sdk.Plugin) error {
		request, response, err := parse(string(p.Config()))
		if err != nil {
			return err
		}
		// It keeps nothing about a stream: one filter serves all of them.
		f := &filter{request: request, response: response}
		p.HTTP(func(sdk.Stream) sdk.HTTPFilter { return f })
		return nil
	})
}

type filter struct {
	sdk.PassThrough
	request, response []rule
}

func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action { return apply(f.request, h) }

func (f *filter) ResponseHeaders(h sdk.Headers, end bool) sdk.Action { return apply(f.response, h) }

func apply(rules []rule, h sdk.Headers) sdk.Action {
	for _, r := range rules {
		var err error
		switch r.verb {
		case "remove":
			err = h.Del(r.name)
		case "set":
			err = h.Set(r.name, r.value)
		case "add":
			err = h.Add(r.name, r.value)
		}
		if err != nil {
			sdk.Log(sdk.Error, r.verb, " ", r.name, ": ", err.Error())
		}
	}
	return sdk.Continue
}

func main() {}
