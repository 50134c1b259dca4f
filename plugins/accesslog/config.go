package accesslog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/meshc/meshc/plugins"
)

// config is the configuration of a use.
type config struct {
	// One of File, a path, and TCP, a HOST:PORT, is set.
	File   string `json:"file,omitempty"`
	TCP    string `json:"tcp,omitempty"`
	Format string `json:"format"`
	constants
}

// constants are what the commands of Kuma's own stand for on one listener.
type constants struct {
	Mesh      string `json:"mesh"`
	Direction string `json:"direction"`
	Source    string `json:"source"` // the service of the proxy
	Address   string `json:"address,omitempty"`
	// Destination is the service of the listener; "" at the gateway, where each
	// route has its own.
	Destination string `json:"destination,omitempty"`
}

// The formats of backends that have none (Kuma's).
const (
	defaultHTTP = `[%START_TIME%] %KUMA_MESH% "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%KUMA_SOURCE_SERVICE%" "%KUMA_DESTINATION_SERVICE%" "%KUMA_SOURCE_ADDRESS_WITHOUT_PORT%" "%UPSTREAM_HOST%"`
	defaultTCP  = `[%START_TIME%] %RESPONSE_FLAGS% %KUMA_MESH% %KUMA_SOURCE_ADDRESS_WITHOUT_PORT%(%KUMA_SOURCE_SERVICE%)->%UPSTREAM_HOST%(%KUMA_DESTINATION_SERVICE%) took %DURATION%ms, sent %BYTES_SENT% bytes, received: %BYTES_RECEIVED% bytes`
)

// parseConfig reads what resolve wrote.
func parseConfig(text string) (config, format, error) {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return config{}, nil, fmt.Errorf("configuration: %w", err)
	}
	if (c.File == "") == (c.TCP == "") {
		return config{}, nil, errors.New("configuration: one of file and tcp must be set")
	}
	f, err := parseFormat(c.Format)
	return c, f, err
}

func check(u plugins.Use) []string {
	if _, _, err := parseConfig(u.Config); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// backend is what a Mesh says of a place for logs; see the schema.
type backend struct {
	Type   string `json:"type"`
	Format string `json:"format"`
	Conf   struct {
		Path    string `json:"path"`
		Address string `json:"address"`
	} `json:"conf"`
}

// resolve is plugins.Policy.Resolve.
func resolve(a plugins.Attachment) plugins.Resolved {
	var b backend
	i, ok := a.Backend("logging", &b)
	if !ok {
		return plugins.Resolved{}
	}
	c := config{Format: b.Format, constants: constants{
		Mesh: a.MeshName, Direction: strings.ToUpper(a.Direction), Source: a.Service, Address: a.Address, Destination: a.Destination,
	}}
	if a.Direction == "gateway" {
		c.Direction = "UNSPECIFIED"
	}
	switch {
	case b.Format != "":
	case a.TCP:
		c.Format = defaultTCP
	default:
		c.Format = defaultHTTP
	}
	if b.Type == "tcp" {
		c.TCP = b.Conf.Address
	} else {
		c.File = b.Conf.Path
	}
	if _, err := parseFormat(c.Format); err != nil {
		return plugins.Resolved{Wrong: []plugins.Wrong{{
			Path: []any{"logging", "backends", i, "format"}, InMesh: true, Message: err.Error(),
			Hint: "the commands are those of Envoy's access logs that both data planes know, and %KUMA_…%",
		}}}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic("accesslog: " + err.Error()) // text is always JSON
	}
	return plugins.Resolved{Config: string(text)}
}
