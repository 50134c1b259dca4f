package tracing

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"

	"github.com/meshc/meshc/plugins"
)

// config is the configuration of a use.
type config struct {
	URL     string `json:"url"`     // of the collector
	Service string `json:"service"` // whose spans they are
	// Server says that the spans are those of requests that arrive.
	Server bool `json:"server"`
	// PerMillion is the share of traces that are sampled, where nobody has
	// decided that before.
	PerMillion uint32 `json:"perMillion"`
	Long       bool   `json:"traceId128bit"`
	Shared     bool   `json:"sharedSpanContext"`
	Proto      bool   `json:"proto"` // and not JSON
}

const whole = 1_000_000

// parse reads what resolve wrote.
func parse(text string) (config, *url.URL, error) {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return config{}, nil, fmt.Errorf("configuration: %w", err)
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return config{}, nil, fmt.Errorf("configuration: the collector's URL: %w", err)
	case u.Scheme != "http" || u.Port() == "":
		return config{}, nil, errors.New("configuration: the collector's URL is not http://HOST:PORT")
	case c.PerMillion > whole:
		return config{}, nil, fmt.Errorf("configuration: %d of a million", c.PerMillion)
	}
	return c, u, nil
}

func check(u plugins.Use) []string {
	if _, _, err := parse(u.Config); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// backend is what a Mesh says of a collector; see the schema.
type backend struct {
	Sampling *float64 `json:"sampling"`
	Conf     struct {
		URL               string `json:"url"`
		TraceID128Bit     bool   `json:"traceId128bit"`
		APIVersion        string `json:"apiVersion"`
		SharedSpanContext *bool  `json:"sharedSpanContext"`
	} `json:"conf"`
}

// resolve is plugins.Policy.Resolve.
func resolve(a plugins.Attachment) plugins.Resolved {
	var b backend
	i, ok := a.Backend("tracing", &b)
	if !ok {
		return plugins.Resolved{}
	}
	c := config{
		URL: b.Conf.URL, Service: a.Service, Server: a.Direction == "inbound", PerMillion: whole,
		Long: b.Conf.TraceID128Bit, Shared: b.Conf.SharedSpanContext == nil || *b.Conf.SharedSpanContext, Proto: b.Conf.APIVersion == "httpProto",
	}
	if b.Sampling != nil {
		c.PerMillion = uint32(math.Round(*b.Sampling * whole / 100))
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" {
		return plugins.Resolved{Wrong: []plugins.Wrong{{
			Path: []any{"tracing", "backends", i, "conf", "url"}, InMesh: true,
			Message: "spans can be sent over http alone: nothing says whom to trust over https", Hint: "name a collector over http, such as an agent beside the proxy",
		}}}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic("tracing: " + err.Error()) // numbers and text are always JSON
	}
	return plugins.Resolved{Config: string(text), Calls: []string{u.Host}}
}
