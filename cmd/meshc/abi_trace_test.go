//go:build linux

package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// abiTrace is what the guest told: by scenario and callback ("name callback#n")
// its lines in order, and by scenario the order of its callbacks.
type abiTrace struct {
	mu      sync.Mutex
	changed chan struct{}
	seen    map[string]bool // "scenario callback#n returns" and the like
	threads map[string]*abiThread
	// envoyThread said the last line of Envoy's log, "" when no guest did.
	envoyThread string
	// told is how many lines have come in a second.
	second time.Time
	told   int
}

// abiThread is one instance of the guest: what one thread of Envoy, or one
// worker of ours, runs.
type abiThread struct {
	lines   map[string][]string
	current string // the key that a line without a name belongs to
	streams bool   // it has served streams
}

func newABITrace() *abiTrace {
	return &abiTrace{changed: make(chan struct{}), seen: map[string]bool{}, threads: map[string]*abiThread{}}
}

// abiLine is "abi NAME CALLBACK#N TEXT", the name quoted.
var abiLine = regexp.MustCompile(`^abi "([^"]*)" (\w+#\d+) (.*)$`)

// abiAsync are the callbacks whose place among the others is a matter of time.
var abiAsync = regexp.MustCompile(`^(tick|queue_ready|http_call_response|grpc_\w+)#`)

// add takes one message of the guest.
func (a *abiTrace) add(thread, level, message string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	th := a.threads[thread]
	if th == nil {
		th = &abiThread{lines: map[string][]string{}}
		a.threads[thread] = th
	}
	if now := time.Now().Truncate(time.Second); now != a.second {
		a.second, a.told = now, 0
	}
	a.told++
	m := abiLine.FindStringSubmatch(message)
	if m == nil {
		th.lines[th.current] = append(th.lines[th.current], level+": "+message)
		return
	}
	name, event, text := m[1], m[2], m[3]
	key := name + " " + event
	if strings.HasPrefix(event, "root_create#") && text[0] == '(' {
		// A new instance: what an old one of this name told is void.
		for k := range th.lines {
			if strings.HasPrefix(k, name+" ") {
				delete(th.lines, k)
			}
		}
	}
	if strings.HasPrefix(event, "request_headers#") {
		th.streams = true
	}
	if text[0] == '(' && !abiAsync.MatchString(event) {
		th.lines[name+" order"] = append(th.lines[name+" order"], event)
	}
	th.lines[key] = append(th.lines[key], abiNormal(text))
	th.current = key
	word, _, _ := strings.Cut(text, " ")
	if !strings.HasPrefix(word, "returns") {
		return
	}
	a.seen[key+" returns"] = true
	close(a.changed)
	a.changed = make(chan struct{})
}

// await waits until a callback of a scenario has returned: "callback#n returns",
// or until over.
func (a *abiTrace) await(scenario, event string, over <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		a.mu.Lock()
		ok, changed := a.seen[scenario+" "+event], a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-over:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s: waited in vain for %s", scenario, event)
		}
	}
}

// serving returns the lines of the instance that served streams.
func (a *abiTrace) serving() map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string][]string{}
	for _, th := range a.threads {
		if !th.streams {
			continue
		}
		for k, v := range th.lines {
			if k != "" {
				all[k] = append(all[k], v...)
			}
		}
	}
	return all
}

// abiVolatile are what two runs never have in common: each pattern is replaced
// by its name.
var abiVolatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`get_property\(((?:request/(?:time|duration|id))|connection/id|connection_id|source/(?:address|port)|upstream/local_address|response/backend_latency|upstream/cx_pool_ready_duration|xds/node)\) -> 0 (\d+) "(\\.|[^"])*"`), `get_property($1) -> 0 $2 (volatile)`},
	{regexp.MustCompile(`"(x-request-id|date|x-envoy-upstream-service-time)"="[^"]*"`), `"$1"=(volatile)`},
	{regexp.MustCompile(`(x-request-id|date|x-envoy-upstream-service-time): .*`), `$1: (volatile)`},
}

// abiSizes are the sizes in a line about headers, one of which is a time of
// one to three digits.
var abiSizes = regexp.MustCompile(`(size |alloc |-> 0 )\d+`)

func abiNormal(s string) string {
	for _, v := range abiVolatile {
		s = v.pattern.ReplaceAllString(s, v.with)
	}
	if strings.Contains(s, `"x-envoy-upstream-service-time"`) {
		s = abiSizes.ReplaceAllString(s, "$1(volatile)")
	}
	// Envoy gives the pairs of a property in no order.
	if head, pairs, found := strings.Cut(s, " pairs "); found && strings.HasPrefix(s, "get_property(") {
		pairs, tail, _ := strings.Cut(pairs, " [alloc")
		list := abiPair.FindAllString(pairs, -1)
		slices.Sort(list)
		s = head + " pairs " + strings.Join(list, " ") + " [alloc" + tail
	}
	return s
}

var abiPair = regexp.MustCompile(`"(?:\\.|[^"\\])*"=(?:\(volatile\)|"(?:\\.|[^"\\])*")`)

// envoyGuestLine is a line of Envoy's log that holds a message of the guest.
var envoyGuestLine = regexp.MustCompile(`^\[[^]]*\]\[(\d+)\]\[(\w+)\]\[wasm\] \[[^]]*\] wasm log(?: [^:]*)?: (.*)$`)

// addEnvoy takes a line of Envoy's log, and ignores what no guest said.
func (a *abiTrace) addEnvoy(line string) {
	m := envoyGuestLine.FindStringSubmatch(line)
	switch {
	case m != nil:
		level := m[2]
		switch level {
		case "warning":
			level = "warn"
		case "critical": // which slog does not have
			level = "error"
		}
		a.add(m[1], level, m[3])
		a.envoyThread = m[1]
	case !strings.HasPrefix(line, "["):
		a.extend(a.envoyThread, line)
	default:
		a.envoyThread = ""
	}
}

// extend adds another line to the last message of a thread, if that may have
// more than one.
func (a *abiTrace) extend(thread, line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	th := a.threads[thread]
	if th == nil {
		return
	}
	if lines := th.lines[th.current]; len(lines) > 0 && abiProbe.MatchString(lines[len(lines)-1]) {
		lines[len(lines)-1] += "\n" + line
	}
}

// abiProbe is a message that does not say whose it is, as it was added.
var abiProbe = regexp.MustCompile(`^(info|warn|error): `)

// addMeshc takes a line of meshc's log, and ignores what no guest said.
func (a *abiTrace) addMeshc(line string) {
	level, message, plugin := "", "", false
	for rest := line; rest != ""; {
		key, value, found := strings.Cut(rest, "=")
		if !found {
			return
		}
		if strings.HasPrefix(value, `"`) {
			quoted, err := strconv.QuotedPrefix(value)
			if err != nil {
				return
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return
			}
			value, rest = text, strings.TrimPrefix(value[len(quoted):], " ")
		} else {
			value, rest, _ = strings.Cut(value, " ")
		}
		switch key {
		case "level":
			level = strings.ToLower(value)
		case "msg":
			message = value
		case "plugin":
			plugin = true
		}
	}
	if plugin && (message == "" || strings.HasPrefix(message, "abi ")) {
		a.add("", level, message)
	}
}

// pace waits for the next second when so much was told in this one that meshc,
// which logs 10,000 lines of a plugin in a second, might leave some out.
func (a *abiTrace) pace() {
	a.mu.Lock()
	second, told := a.second, a.told
	a.mu.Unlock()
	if told > 8000 {
		time.Sleep(time.Until(second.Add(time.Second)))
	}
}
