// Auth asks a service about each request's API key before it lets the request
// pass. The service answers 200 with the name of the caller in x-caller, or
// anything else to refuse.
package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

type config struct {
	// Service is who to ask; the WasmPlugin lists it under services.
	Service string `json:"service"`
	// Path is where, with the key in header x-api-key.
	Path string `json:"path"`
	// Timeout is how long to wait, in milliseconds; 1000 by default.
	Timeout int64 `json:"timeoutMillis"`
}

func parse(text []byte) (config, error) {
	c := config{Path: "/check", Timeout: 1000}
	if err := json.Unmarshal(text, &c); err != nil {
		// The error could quote the text, and with it a secret.
		return c, errors.New("want an object with service, path and timeoutMillis")
	}
	if c.Service == "" {
		return c, errors.New("service is missing")
	}
	if c.Timeout <= 0 {
		return c, errors.New("timeoutMillis is not over 0")
	}
	return c, nil
}

func init() {
	sdk.Register(func(p *sdk.Plugin) error {
		c, err := parse(p.Config())
		if err != nil {
			return err
		}
		p.HTTP(func(s sdk.Stream) sdk.HTTPFilter { return &filter{stream: s, config: c} })
		return nil
	})
}

type filter struct {
	sdk.PassThrough
	stream sdk.Stream
	config config
}

func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action {
	if err := h.Del("x-caller"); err != nil { // nobody names himself
		return f.stream.Reply(500, "")
	}
	key := h.Get("x-api-key")
	if key == "" {
		return f.stream.Reply(401, "missing key\n")
	}
	ask := sdk.Request{Path: f.config.Path, Headers: []sdk.Header{{Name: "x-api-key", Value: key}}}
	if err := f.stream.Call(f.config.Service, ask, time.Duration(f.config.Timeout)*time.Millisecond, f.answered); err != nil {
		sdk.Log(sdk.Error, "call: ", err.Error())
		return f.stream.Reply(503, "")
	}
	return sdk.Pause
}

// answered is called while the request waits.
func (f *filter) answered(r sdk.Response, err error) {
	switch {
	case err != nil || r.Status() >= 500:
		f.stream.Reply(503, "cannot check the key\n")
		return
	case r.Status() != 200:
		f.stream.Reply(403, "wrong key\n")
		return
	}
	if caller := r.Headers.Get("x-caller"); caller != "" {
		if err := sdk.RequestHeaders.Set("x-caller", caller); err != nil {
			f.stream.Reply(503, "")
			return
		}
	}
	if err := f.stream.ContinueRequest(); err != nil {
		sdk.Log(sdk.Error, "continue: ", err.Error())
	}
}

func main() {}
