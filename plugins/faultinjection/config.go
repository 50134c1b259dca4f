package faultinjection

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/plugins"
)

// config is the configuration of a use; what is zero is not injected.
type config struct {
	// Cluster is that which the faults are bound to, "" for all.
	Cluster string    `json:"cluster,omitempty"`
	Delay   delay     `json:"delay,omitzero"`
	Abort   abort     `json:"abort,omitzero"`
	Limit   bandwidth `json:"responseBandwidth,omitzero"`
}

// share is parts of a million of the requests.
type share uint32

const whole share = 1_000_000

type delay struct {
	Share share  `json:"perMillion"`
	Time  string `json:"time"` // as Go writes durations; more than 0
	time  time.Duration
}

type abort struct {
	Share  share `json:"perMillion"`
	Status int   `json:"status"`
}

type bandwidth struct {
	Share share `json:"perMillion"`
	// Speed is in KiB/s, as Envoy has it; more than 0.
	Speed uint64 `json:"kibPerSecond"`
}

// parse reads what resolve wrote.
func parse(text string) (config, error) {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return config{}, fmt.Errorf("configuration: %w", err)
	}
	if c.Delay.Time != "" {
		d, err := time.ParseDuration(c.Delay.Time)
		if err != nil || d <= 0 {
			return config{}, fmt.Errorf("configuration: delay %q is no positive duration", c.Delay.Time)
		}
		c.Delay.time = d
	}
	for _, s := range []share{c.Delay.Share, c.Abort.Share, c.Limit.Share} {
		if s > whole {
			return config{}, fmt.Errorf("configuration: %d of a million", s)
		}
	}
	if c.Abort.Share > 0 && (c.Abort.Status < 200 || c.Abort.Status > 599) {
		return config{}, fmt.Errorf("configuration: status %d", c.Abort.Status)
	}
	if c.Limit.Share > 0 && c.Limit.Speed == 0 {
		return config{}, fmt.Errorf("configuration: no bandwidth")
	}
	return c, nil
}

func check(u plugins.Use) []string {
	if _, err := parse(u.Config); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// document is what a FaultInjection says; see the kind's schema.
type document struct {
	Conf struct {
		Delay struct {
			Percentage float64 `json:"percentage"`
			Value      string  `json:"value"`
		} `json:"delay"`
		Abort struct {
			Percentage float64 `json:"percentage"`
			HTTPStatus int     `json:"httpStatus"`
		} `json:"abort"`
		ResponseBandwidth struct {
			Percentage float64 `json:"percentage"`
			Limit      string  `json:"limit"`
		} `json:"responseBandwidth"`
	} `json:"conf"`
}

// resolve is plugins.Policy.Resolve.
func resolve(a plugins.Attachment) plugins.Resolved {
	var d document
	if err := json.Unmarshal([]byte(a.Policy), &d); err != nil {
		return wrong(nil, err.Error(), "")
	}
	c := config{Cluster: a.Cluster}
	if value, err := time.ParseDuration(d.Conf.Delay.Value); err == nil && value > 0 {
		c.Delay = delay{Share: shareOf(d.Conf.Delay.Percentage), Time: value.String()}
	}
	if d.Conf.Abort.HTTPStatus != 0 {
		if d.Conf.Abort.HTTPStatus < 200 {
			return wrong([]any{"conf", "abort", "httpStatus"}, fmt.Sprintf("a request cannot be answered %d, which ends nothing", d.Conf.Abort.HTTPStatus), "write a status from 200 to 599")
		}
		c.Abort = abort{Share: shareOf(d.Conf.Abort.Percentage), Status: d.Conf.Abort.HTTPStatus}
	}
	if limit := d.Conf.ResponseBandwidth.Limit; limit != "" {
		speed, err := kibPerSecond(limit)
		if err != nil {
			return wrong([]any{"conf", "responseBandwidth", "limit"}, err.Error(), "write 9 kbps or more, and at most 1000000 gbps")
		}
		c.Limit = bandwidth{Share: shareOf(d.Conf.ResponseBandwidth.Percentage), Speed: speed}
	}
	// A fault that never happens is none.
	if c.Delay.Share == 0 {
		c.Delay = delay{}
	}
	if c.Abort.Share == 0 {
		c.Abort = abort{}
	}
	if c.Limit.Share == 0 {
		c.Limit = bandwidth{}
	}
	if c == (config{Cluster: a.Cluster}) {
		return plugins.Resolved{}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic("faultinjection: " + err.Error()) // numbers and text are always JSON
	}
	return plugins.Resolved{Config: string(text)}
}

func wrong(path []any, message, hint string) plugins.Resolved {
	return plugins.Resolved{Wrong: []plugins.Wrong{{Path: path, Message: message, Hint: hint}}}
}

// shareOf returns a percentage to the ten-thousandth of a percent: what Envoy
// can say.
func shareOf(percentage float64) share { return share(math.Round(percentage * float64(whole) / 100)) }

// kibPerSecond returns a bandwidth, written in bits as "50 mbps", as Envoy and
// we keep it: in whole KiB/s, the nearest.
func kibPerSecond(limit string) (uint64, error) {
	unit := map[byte]float64{'k': 1e3, 'm': 1e6, 'g': 1e9}
	text, ok := strings.CutSuffix(limit, "bps")
	if !ok || text == "" {
		return 0, fmt.Errorf("%q is not a bandwidth", limit)
	}
	last := len(text) - 1
	n, err := strconv.ParseFloat(strings.TrimSpace(text[:last]), 64)
	bits := n * unit[text[last]]
	speed := math.Round(bits / 8 / 1024)
	switch {
	case err != nil || bits <= 0:
		return 0, fmt.Errorf("%q is not a bandwidth", limit)
	case bits < 8*1024:
		return 0, fmt.Errorf("%s is less than 1 KiB a second (8.192 kbps), the slowest that responses can be sent", limit)
	case bits > 1e15:
		return 0, fmt.Errorf("%s is more than can be measured", limit)
	}
	return uint64(speed), nil
}
