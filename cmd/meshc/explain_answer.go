package main

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema/diag"
)

// requestAnswer is what a request meets, as the JSON of explain --host.
type requestAnswer struct {
	Proxy    string  `json:"proxy"`
	Listener *placed `json:"listener,omitempty"` // nothing below it where no listener takes the request
	// Chain is what the listener has for the server name of the client's TLS;
	// ServerNames are those that it has any for, where it has none for this one.
	Chain       *placed  `json:"chain,omitempty"`
	ServerNames []string `json:"serverNames,omitempty"`
	// OwnCertificate says that the client is shown the one that meshc signed itself.
	OwnCertificate bool         `json:"ownCertificate,omitempty"`
	Clients        []string     `json:"clients,omitempty"` // CIDRs; nobody else is taken
	VirtualHost    *placed      `json:"virtualHost,omitempty"`
	Route          *placed      `json:"route,omitempty"`
	Policies       []choiceJSON `json:"policies,omitempty"`
	Targets        []targetJSON `json:"targets,omitempty"`
	// Hash is what the endpoint is chosen by, where that is not its turn: the first
	// that the request has.
	Hash []string `json:"hash,omitempty"`
	// Answer is what the client gets where the request goes nowhere.
	Answer string `json:"answer,omitempty"`

	choices []compiler.Choice
	answers bool // Answer is what the route is for
}

// placed is something of the snapshot, and where it comes from.
type placed struct {
	Name   string       `json:"name"`
	Places []diag.Place `json:"places"`
}

type choiceJSON struct {
	Kind    string       `json:"kind"`
	Applied []policyJSON `json:"applied"`
	Lost    []lostJSON   `json:"lost,omitempty"`
}

type lostJSON struct {
	policyJSON
	To  string `json:"to"` // the policy that is used instead
	Why string `json:"why"`
}

type targetJSON struct {
	placed
	Weight    uint32         `json:"weight"`
	Endpoints []endpointJSON `json:"endpoints"`
	// Policies are those for it, where the targets differ in them.
	Policies []choiceJSON `json:"policies,omitempty"`

	choices []compiler.Choice
}

type endpointJSON struct {
	Address string      `json:"address"` // HOST:PORT
	Weight  uint32      `json:"weight,omitempty"`
	Place   *diag.Place `json:"place,omitempty"`
	// Priority is 0 for those that come first.
	Priority uint32 `json:"priority,omitempty"`
	// Zone is that whose ingress it is; nil for any other endpoint.
	Zone *string `json:"ingressOfZone,omitempty"`
	// Permissions are the TrafficPermissions that admit the proxy there, where
	// mTLS asks for one, and Refused says that none does.
	Permissions []string `json:"permissions,omitempty"`
	Refused     bool     `json:"refused,omitempty"`
}

// write writes the answer for a reader.
func (r *requestAnswer) write(w *strings.Builder) {
	line := func(what string, p *placed) {
		if p == nil {
			return
		}
		fmt.Fprintf(w, "%-13s %s", what, p.Name)
		for i, place := range p.Places {
			if i == maxPlaces {
				fmt.Fprintf(w, "  and %d more", len(p.Places)-i)
				break
			}
			fmt.Fprintf(w, "  %s", place)
		}
		w.WriteByte('\n')
	}
	line("proxy", &placed{Name: r.Proxy})
	line("listener", r.Listener)
	line("chain", r.Chain)
	if r.OwnCertificate {
		fmt.Fprintf(w, "%-13s %s\n", "certificate", "one that meshc signed itself, for no other is for the server name")
	}
	if len(r.ServerNames) > 0 {
		fmt.Fprintf(w, "%-13s %s\n", "server names", shortened(r.ServerNames))
	}
	if len(r.Clients) > 0 {
		fmt.Fprintf(w, "%-13s %s\n", "clients", strings.Join(r.Clients, ", "))
	}
	line("virtual host", r.VirtualHost)
	line("route", r.Route)
	if len(r.choices) > 0 {
		w.WriteString("policies\n")
		writeChoices(w, "  ", r.choices)
	}
	var sum uint64
	for _, t := range r.Targets {
		sum += uint64(t.Weight)
	}
	for _, t := range r.Targets {
		line("cluster", &t.placed)
		if len(r.Targets) > 1 {
			fmt.Fprintf(w, "  gets %s\n", percent(uint64(t.Weight), sum))
		}
		writeChoices(w, "  ", t.choices)
		for i, e := range t.Endpoints {
			if i == maxEndpoints {
				fmt.Fprintf(w, "  and %d more endpoints\n", len(t.Endpoints)-i)
				break
			}
			fmt.Fprintf(w, "  endpoint %s", e.Address)
			if e.Place != nil {
				fmt.Fprintf(w, "  %s", e.Place)
			}
			if e.Zone != nil {
				fmt.Fprintf(w, "  ingress of zone %s", *e.Zone)
			}
			if e.Weight != 0 {
				fmt.Fprintf(w, "  weight %d", e.Weight)
			}
			if e.Priority != 0 {
				fmt.Fprintf(w, "  if too few before it are healthy")
			}
			if e.Refused {
				w.WriteString("  refuses: no TrafficPermission admits this proxy")
			} else if len(e.Permissions) > 0 {
				fmt.Fprintf(w, "  admits, by TrafficPermission %s", strings.Join(e.Permissions, ", "))
			}
			w.WriteByte('\n')
		}
		switch {
		case len(t.Endpoints) > 0:
		case r.VirtualHost == nil: // bytes
			w.WriteString("  no endpoint: the connection is closed\n")
		default:
			w.WriteString("  no endpoint: 503\n")
		}
	}
	if len(r.Hash) > 0 {
		fmt.Fprintf(w, "%-13s %s\n", "endpoint by", strings.Join(r.Hash, ", else "))
	}
	if r.Answer != "" {
		fmt.Fprintf(w, "%-13s %s\n", "answer", r.Answer)
	}
}

// shortened writes the first of many names.
func shortened(names []string) string {
	if n := len(names) - maxEndpoints; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxEndpoints], ", "), n)
	}
	return strings.Join(names, ", ")
}

// What a reader is shown at most of a long list; JSON has all.
const (
	maxPlaces    = 3
	maxEndpoints = 10
)
