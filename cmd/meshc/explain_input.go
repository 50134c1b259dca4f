package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// explainInput says what applies to a proxy or a request of the input. What is
// wrong with the input is told on the side: as far as it goes, it is explained.
func explainInput(c *cli.Context) error {
	format := c.String("format")
	if format != "text" && format != "json" {
		return failed("--format %q: want text or json", format)
	}
	if c.String("proxy") != "" && (c.String("host") != "" || c.String("listener") != "") {
		return failed("--proxy lists a proxy, and --host and --listener follow a request: give one of them (a request comes --from a proxy)")
	}
	node, err := nodeOf(c)
	if err != nil {
		return err
	}
	in := newDocuments(c.Args().Slice(), c.App.Reader, toValidate)
	in.compiler.Node = node
	l, err := in.load(c.Context)
	if err != nil {
		return failed("%v", err)
	}
	if l.vanished || l.summary.Errors > 0 {
		shown := slices.DeleteFunc(slices.Clone(l.diags), func(d diag.Diagnostic) bool { return d.Severity != diag.Error })
		if err := diag.Write(c.App.ErrWriter, diag.Text, shown, l.summary, diag.Options{Source: l.source}); err != nil {
			return failed("writing findings: %v", err)
		}
		if l.vanished {
			return &exitError{code: exitFailed}
		}
	}
	x := compiler.NewExplainer(l.checked, node)
	id := c.String("proxy")
	if id == "" {
		if id = c.String("from"); id == "" {
			id = snapshot.GatewayID
		}
	}
	if known := x.Proxies(); id != snapshot.GatewayID && !slices.Contains(known, id) {
		names := map[string]bool{}
		for _, name := range known {
			names[name] = true
		}
		return failed("no document defines the dataplane %q: %sname one as MESH.NAME", id, diag.Suggest(id, names))
	}
	var out strings.Builder
	nowhere := false
	a := &asker{snap: l.snapshot, explainer: x, documents: make(map[string]*schema.Document, len(l.checked))}
	for _, d := range l.checked {
		a.documents[d.ID()] = d
	}
	if c.String("proxy") != "" {
		err = explainProxy(&out, a, id, format)
	} else {
		nowhere, err = explainRequest(c, &out, a, id, format)
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.App.Writer, out.String()); err != nil {
		return failed("writing: %v", err)
	}
	if nowhere || l.summary.Errors > 0 {
		return errFindings
	}
	return nil
}

func explainProxy(out *strings.Builder, a *asker, id, format string) error {
	if id == snapshot.GatewayID {
		return failed("the gateway is no dataplane: ask for a request with --host, or name a dataplane as MESH.NAME")
	}
	p, _ := a.explainer.Proxy(id)
	for i := range p.Outbounds {
		o := &p.Outbounds[i]
		o.Choices = append(o.Choices, a.pluginsAt(id, o.Address)...)
	}
	for i := range p.Inbounds {
		in := &p.Inbounds[i]
		in.Choices = append(in.Choices, a.pluginsAt(id, in.Address)...)
	}
	if format == "json" {
		return writeProxyJSON(out, id, p)
	}
	writeProxy(out, id, p)
	return nil
}

// explainRequest writes what the request of the flags meets, and reports
// whether it goes nowhere.
func explainRequest(c *cli.Context, out *strings.Builder, a *asker, id, format string) (nowhere bool, err error) {
	if a.headers, err = requestOf(c); err != nil {
		return false, err
	}
	a.listener, a.tls, a.serverName, a.named = c.String("listener"), overTLS(c), serverNameOf(c), c.IsSet("sni")
	if a.tls && id != snapshot.GatewayID && a.listener == "" {
		return false, failed("--https and --sni are about the gateway, or a listener that --listener names: dataplanes take requests in the clear")
	}
	answer, err := a.answer(id)
	if err != nil {
		return false, failed("%v", err)
	}
	if format == "json" {
		err = writeIndented(out, answer)
	} else {
		fmt.Fprintf(out, "%-13s %s %s%s\n", "request", c.String("method"), c.String("host"), c.String("path"))
		answer.write(out)
	}
	return answer.Answer != "" && !answer.answers, err
}
