package plan

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

func init() {
	Checks["kuma-ip"] = kumaIP
	Checks["kuma-address"] = kumaAddress
	Checks["kuma-host-port"] = kumaHostPort
	Checks["kuma-inbound-loop"] = kumaInboundLoop
	Checks["kuma-unique-names"] = kumaUniqueNames
	Checks["kuma-enabled-backend"] = kumaBackend("enabledBackend")
	Checks["kuma-default-backend"] = kumaBackend("defaultBackend")
	Checks["kuma-duration"] = kumaDuration
	Checks["kuma-back-off"] = kumaBackOff
	Checks["kuma-log-format"] = kumaLogFormat
}

// kumaIP wants an IPv4 or IPv6 address without a zone; "" counts as not set.
func kumaIP(n *tree.Node, report func(Fault)) {
	if n.Str() == "" {
		return
	}
	if a, err := netip.ParseAddr(n.Text); err != nil || a.Zone() != "" {
		report(Fault{Code: diag.CodeInvalid, Message: strconv.Quote(n.Text) + " is not an IP address"})
	}
}

// kumaAddress wants an IPv6 address where there is a colon; what a domain name
// is, the pattern says.
func kumaAddress(n *tree.Node, report func(Fault)) {
	if strings.Contains(n.Str(), ":") {
		kumaIP(n, report)
	}
}

// kumaHostPort wants an IPv6 address in the brackets, if there are any.
func kumaHostPort(n *tree.Node, report func(Fault)) {
	host, _, bracketed := strings.Cut(strings.TrimPrefix(n.Str(), "["), "]")
	if bracketed {
		kumaIP(&tree.Node{Kind: tree.String, Text: host, Pos: n.Pos}, report)
	}
}

// kumaInboundLoop finds inbounds of a networking section that hand their
// traffic to themselves.
func kumaInboundLoop(n *tree.Node, report func(Fault)) {
	inbounds := n.Get("inbound")
	for i := 0; inbounds.At(i) != nil; i++ {
		in := inbounds.At(i)
		to, toPort := in.Get("serviceAddress").Str(), in.Get("servicePort")
		if to == "" || to != n.Get("address").Str() && to != in.Get("address").Str() {
			continue
		}
		p, ok := toPort.Int64()
		port, _ := in.Get("port").Int64()
		if toPort == nil || ok && (p == 0 || p == port) {
			report(Fault{
				At: []any{"inbound", i, "serviceAddress"}, Code: diag.CodeInvalid,
				Message: "the inbound hands its traffic to itself",
				Hint:    "serviceAddress and servicePort must differ from address and port",
			})
		}
	}
}

// kumaUniqueNames finds backends of one name.
func kumaUniqueNames(n *tree.Node, report func(Fault)) {
	seen := map[string]tree.Pos{}
	for i := 0; n.At(i) != nil; i++ {
		name := n.At(i).Get("name")
		if name.Str() == "" {
			continue
		}
		if first, twice := seen[name.Text]; twice {
			report(Fault{
				At: []any{i, "name"}, Code: diag.CodeDuplicate,
				Message: "another backend is named " + strconv.Quote(name.Text),
				Related: []Related{{Pos: first, Message: "the other one"}},
			})
			continue
		}
		seen[name.Text] = name.Pos
	}
}

// kumaBackend wants the value of key to be the name of a backend beside it.
func kumaBackend(key string) Check {
	return func(n *tree.Node, report func(Fault)) {
		want := n.Get(key).Str()
		if want == "" {
			return
		}
		var names []string
		backends := n.Get("backends")
		for i := 0; backends.At(i) != nil; i++ {
			name := backends.At(i).Get("name").Str()
			if name == want || name == "" { // a backend without a name is wrong itself, and may be the one
				return
			}
			names = append(names, name)
		}
		report(Fault{
			At: []any{key}, Code: diag.CodeInvalid,
			Message: "no backend is named " + strconv.Quote(want), Hint: backendHint(want, names),
		})
	}
}

// backendHint names the backend that was meant, or all that there are.
func backendHint(want string, names []string) string {
	if hint := didYouMean(want, names); hint != "" {
		return hint
	}
	if len(names) == 0 {
		return "add it to backends"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return "write " + orList(quoted) + ", or add it to backends"
}

// kumaDuration wants a duration that is counted in nanoseconds: neither too
// long for that, nor so short that it comes to nothing.
func kumaDuration(n *tree.Node, report func(Fault)) {
	if n.Kind != tree.String {
		return
	}
	switch d, err := time.ParseDuration(n.Text); {
	case err != nil:
		report(Fault{Code: diag.CodeInvalid, Message: show(n) + " is too long", Hint: "the longest duration is 2562047h, some 292 years"})
	case d == 0 && strings.ContainsAny(n.Text, "123456789"):
		report(Fault{Code: diag.CodeInvalid, Message: show(n) + " is less than a nanosecond", Hint: "the shortest duration is 1ns"})
	}
}

// kumaBackOff wants the intervals of a back-off to grow. Kuma does not look,
// and Envoy then refuses the whole listener.
func kumaBackOff(n *tree.Node, report func(Fault)) {
	base, highest := n.Get("baseInterval"), n.Get("maxInterval")
	from, err1 := time.ParseDuration(base.Str())
	to, err2 := time.ParseDuration(highest.Str())
	if err1 == nil && err2 == nil && 0 < to && to < from {
		report(Fault{
			At: []any{"maxInterval"}, Code: diag.CodeInvalid, Message: show(highest) + " is less than baseInterval",
			Hint: "write at least " + base.Text, Related: []Related{{base.Pos, "baseInterval"}},
		})
	}
}

// What the commands of an access log format take, as Kuma's parser has it: those
// that are not named here take nothing.
var (
	logCommand = regexp.MustCompile(`%([A-Z0-9_]+)(\([^)]*\))?(:[0-9]+)?%`)
	logHeader  = regexp.MustCompile(`^\([^?\x00\r\n]*(\?[^?\x00\r\n]*)?\)$`)
	logNewline = regexp.MustCompile(`%[-_0^#]*[1-9]*n`)
)

// kumaLogFormat wants every command of an access log format to have the
// arguments that it needs, and no others.
func kumaLogFormat(n *tree.Node, report func(Fault)) {
	if n.Kind != tree.String {
		return
	}
	for _, m := range logCommand.FindAllStringSubmatch(n.Text, -1) {
		command, argument, length := m[1], m[2], m[3]
		wrong, hint := false, "write it as %"+command
		switch command {
		case "REQ", "RESP", "TRAILER":
			wrong, hint = !logHeader.MatchString(argument), hint+"(HEADER)%, %"+command+"(HEADER?ANOTHER)% or %"+command+"(HEADER):LENGTH%"
		case "DYNAMIC_METADATA":
			wrong, hint = argument == "", hint+"(NAMESPACE:KEY)%"
		case "FILTER_STATE":
			wrong, hint = len(argument) < len("(k)"), hint+"(KEY)%"
		case "START_TIME":
			wrong, hint = logNewline.MatchString(argument), "leave the line break (%n) out"
		default:
			wrong, hint = argument != "" || length != "", hint+"%: it takes no argument and no length"
		}
		if wrong {
			report(Fault{Code: diag.CodeInvalid, Message: show(&tree.Node{Kind: tree.String, Text: m[0]}) + " is not a command of an access log format", Hint: hint})
			return
		}
	}
}
