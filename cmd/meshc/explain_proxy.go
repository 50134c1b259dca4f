package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// policyJSON is a policy where it was written.
type policyJSON struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
}

// choicesJSON is what applies, by kind: a policyJSON, or a list of them where
// policies of the kind unite.
type choicesJSON map[string]any

type shareJSON struct {
	Weight      uint32            `json:"weight"`
	Destination map[string]string `json:"destination"`
	Policies    choicesJSON       `json:"policies,omitempty"`
}

type outboundJSON struct {
	Address  string          `json:"address"`
	Service  string          `json:"service"`
	Policies choicesJSON     `json:"policies,omitempty"`
	Split    []shareJSON     `json:"split,omitempty"`
	HTTP     []exceptionJSON `json:"http,omitempty"`
}

// exceptionJSON is where one of the conf.http of the outbound's TrafficRoute sends requests.
type exceptionJSON struct {
	Index int         `json:"index"`
	Split []shareJSON `json:"split,omitempty"`
}

type inboundJSON struct {
	Address  string      `json:"address"`
	Service  string      `json:"service"`
	Policies choicesJSON `json:"policies,omitempty"`
	Entries  []entryJSON `json:"entries,omitempty"`
}

// entryJSON is what the ingress of a zone hands on.
type entryJSON struct {
	ServerName string   `json:"serverName"`
	Service    string   `json:"service"`
	Endpoints  []string `json:"endpoints"`
}

// proxyJSON is the answer to explain --proxy in JSON.
type proxyJSON struct {
	Proxy     string         `json:"proxy"`
	Outbounds []outboundJSON `json:"outbounds,omitempty"`
	Inbounds  []inboundJSON  `json:"inbounds,omitempty"`
	// Metrics is where the proxy shows its own, which is no inbound of the Dataplane.
	Metrics  *inboundJSON `json:"metrics,omitempty"`
	Policies choicesJSON  `json:"policies,omitempty"`
}

func policyOf(d *schema.Document) policyJSON {
	return policyJSON{d.Name, d.File, d.Tree.Pos.Line}
}

func choicesOf(choices []compiler.Choice) choicesJSON {
	out := choicesJSON{}
	for _, c := range choices {
		if len(c.Applied) == 0 {
			continue
		}
		if !c.United() {
			out[c.Kind] = policyOf(c.Applied[0])
			continue
		}
		var all []policyJSON
		for _, d := range c.Applied {
			all = append(all, policyOf(d))
		}
		out[c.Kind] = all
	}
	return out
}

// targetsOf returns the choices for targets, once where all are alike; else
// each says that they are to be told one by one.
func targetsOf(shares iter.Seq[*compiler.Share]) (whole []compiler.Choice, each bool) {
	var first *compiler.Share
	for s := range shares {
		if first == nil {
			first = s
		}
		if !slices.EqualFunc(s.Choices, first.Choices, func(a, b compiler.Choice) bool {
			return a.Kind == b.Kind && slices.Equal(a.Applied, b.Applied) && slices.Equal(a.Lost, b.Lost)
		}) {
			return nil, true
		}
	}
	if first == nil {
		return nil, false
	}
	return first.Choices, false
}

// writeProxyJSON writes what a proxy gets as JSON.
func writeProxyJSON(w io.Writer, id string, p compiler.ProxyExplained) error {
	out := proxyJSON{Proxy: id, Policies: choicesOf(p.Choices)}
	for _, o := range p.Outbounds {
		whole, each := targetsOf(o.Shares())
		j := outboundJSON{
			Address: o.Address, Service: o.Service, Policies: choicesOf(slices.Concat(o.Choices, whole)), Split: sharesJSON(o.Split, each),
		}
		for _, e := range o.HTTP {
			j.HTTP = append(j.HTTP, exceptionJSON{e.Index, sharesJSON(e.Split, each)})
		}
		out.Outbounds = append(out.Outbounds, j)
	}
	for _, in := range p.Inbounds {
		j := inboundJSON{Address: in.Address, Service: in.Service, Policies: choicesOf(in.Choices)}
		for _, e := range in.Entries {
			j.Entries = append(j.Entries, entryJSON(e))
		}
		if in.Metrics {
			out.Metrics = &j
		} else {
			out.Inbounds = append(out.Inbounds, j)
		}
	}
	return writeIndented(w, out)
}

func sharesJSON(shares []compiler.Share, each bool) []shareJSON {
	var out []shareJSON
	for _, s := range shares {
		j := shareJSON{Weight: s.Weight, Destination: s.Destination}
		if each {
			j.Policies = choicesOf(s.Choices)
		}
		out = append(out, j)
	}
	return out
}

func writeIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeProxy writes what a proxy gets for a reader, and why.
func writeProxy(w *strings.Builder, id string, p compiler.ProxyExplained) {
	fmt.Fprintf(w, "%s  %s\n", id, placeOf(p.Dataplane))
	for _, in := range p.Inbounds {
		what := "inbound"
		if in.Metrics {
			what = "metrics"
		}
		fmt.Fprintf(w, "\n%s %s  service %s\n", what, in.Address, in.Service)
		writeChoices(w, "  ", in.Choices)
		for _, e := range in.Entries {
			fmt.Fprintf(w, "  %s to %s\n", e.ServerName, shortened(e.Endpoints))
		}
		if in.MTLS && !slices.ContainsFunc(in.Choices, func(c compiler.Choice) bool { return c.Kind == "TrafficPermission" }) {
			fmt.Fprintf(w, "  mTLS, and no TrafficPermission: everybody is refused\n")
		}
	}
	for _, o := range p.Outbounds {
		fmt.Fprintf(w, "\noutbound %s  service %s\n", o.Address, o.Service)
		writeChoices(w, "  ", o.Choices)
		whole, each := targetsOf(o.Shares())
		writeChoices(w, "  ", whole)
		for _, e := range o.HTTP {
			at := e.Policy.Place("conf", "http", e.Index)
			fmt.Fprintf(w, "  conf.http[%d]  %s\n", e.Index, at)
			writeShares(w, "    ", e.Split, each)
		}
		writeShares(w, "  ", o.Split, each)
	}
	if len(p.Choices) > 0 {
		fmt.Fprintf(w, "\nthe proxy as a whole\n")
		writeChoices(w, "  ", p.Choices)
	}
}

// writeShares writes where traffic goes; with each, the policies of each share.
func writeShares(w *strings.Builder, indent string, shares []compiler.Share, each bool) {
	var sum uint64
	for _, s := range shares {
		sum += uint64(s.Weight)
	}
	if sum == 0 {
		fmt.Fprintf(w, "%sto nothing: every share is 0\n", indent)
	}
	for _, s := range shares {
		fmt.Fprintf(w, "%s%s to %s\n", indent, percent(uint64(s.Weight), sum), tagText(s.Destination))
		if each {
			writeChoices(w, indent+"  ", s.Choices)
		}
	}
}

// writeChoices writes choices, one to a line, and below each who lost and why.
func writeChoices(w *strings.Builder, indent string, choices []compiler.Choice) {
	for _, c := range choices {
		for _, d := range c.Applied {
			fmt.Fprintf(w, "%s%s %s  %s\n", indent, c.Kind, d.Name, placeOf(d))
		}
		if len(c.Applied) == 0 {
			fmt.Fprintf(w, "%sno %s\n", indent, c.Kind)
		}
		for _, l := range c.Lost {
			fmt.Fprintf(w, "%s  and not %s  %s: %s is used, for %s\n", indent, l.Policy.Name, placeOf(l.Policy), l.To.Name, l.Why)
		}
	}
}

func placeOf(d *schema.Document) diag.Place {
	return diag.Place{File: d.File, Line: d.Tree.Pos.Line, Column: d.Tree.Pos.Column}
}

// percent writes a part of a sum, which is not 0.
func percent(part, sum uint64) string {
	text := fmt.Sprintf("%.2f", 100*float64(part)/float64(sum))
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " %"
}

// tagText writes tags, the service first.
func tagText(tags map[string]string) string {
	out := []string{"service " + tags[kuma.ServiceTag]}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if k != kuma.ServiceTag {
			out = append(out, k+" "+tags[k])
		}
	}
	return strings.Join(out, ", ")
}
